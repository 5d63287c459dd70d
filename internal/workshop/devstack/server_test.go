package devstack

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"memexport/internal/workshop/process"
)

func TestAServerRunsUntilItIsStopped(t *testing.T) {
	server := func(script string) (*Server, error) {
		return StartServer(t.Context(), ServerOptions{Name: "server", Dir: t.TempDir(),
			Command: func(port int) []string { return []string{"/bin/sh", "-c", script, "sh", strconv.Itoa(port)} },
			Ready:   func(context.Context, string) error { return nil }})
	}
	s, err := server("exec sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	if host, port, err := net.SplitHostPort(s.Address); host != "127.0.0.1" || port == "0" || err != nil {
		t.Errorf("the address is %s, %v", s.Address, err)
	}
	if process.Ended(s.PID) || s.Err() != nil {
		t.Errorf("it does not run: %v", s.Err())
	}
	s.Stop()
	s.Stop()
	if !process.Ended(s.PID) || s.Err() != nil {
		t.Errorf("after Stop it still runs, or Err reports: %v", s.Err())
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := StartServer(t.Context(), ServerOptions{Name: "broken", Dir: t.TempDir(),
		Command: func(int) []string { return []string{"/bin/sh", "-c", "echo the disk is on fire; exit 3"} },
		Ready:   func(context.Context, string) error { return errors.New("not yet") }})
	wantError(t, err, "broken stopped unexpectedly", "the disk is on fire")
}
