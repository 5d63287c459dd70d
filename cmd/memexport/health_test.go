package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/admin"
)

func TestHealthAsksTheAdminPortOfThisMachine(t *testing.T) {
	s, err := admin.Listen("127.0.0.1:0", admin.Options{Parts: []string{workerPart}, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	_, port, err := net.SplitHostPort(s.URL()[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	want := func(args []string, code int, text string) {
		t.Helper()
		out, err := run(t, append([]string{"health"}, args...)...)
		if err != nil {
			out += err.Error()
		}
		if exitCode(err) != code || !strings.Contains(out, text) || strings.Count(out, "\n") > 1 {
			t.Errorf("memexport health %v with exit code %d prints %q, want %d and %q", args, exitCode(err), out, code, text)
		}
	}
	t.Setenv("ADMIN_ADDR", "127.0.0.1:"+port)
	t.Setenv("DATABASE_URL", "what else is set does not matter")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	want(nil, 1, "not ready: worker: it is starting")
	want([]string{"--live"}, 0, "ok: memexport process 1.2.3")
	s.SetCheck(workerPart, func(context.Context) (any, error) { return map[string]int{"slots": 8}, nil })
	want(nil, 0, "ready: memexport worker 1.2.3")
	t.Setenv("ADMIN_ADDR", "0.0.0.0:"+port) // the command asks localhost instead of 0.0.0.0
	want([]string{"--url", s.URL() + "/"}, 0, "ready")
	want(nil, 0, "ready")
	if out, err := run(t, "health", "--json"); err != nil || !strings.Contains(out, `"slots": 8`) {
		t.Errorf("--json prints %s, %v", out, err)
	}
	s.SetCheck(workerPart, func(context.Context) (any, error) { return nil, errors.New("no server: start it") })
	want(nil, 1, "not ready: worker: no server: start it")
	s.SetCheck(workerPart, func(ctx context.Context) (any, error) { <-ctx.Done(); time.Sleep(time.Hour); return nil, nil })
	want(nil, 1, "did not end within")
}

func TestHealthSaysWhyItCannotAsk(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() // it never answers
	for _, c := range []struct {
		address, url, text string
		code               int
	}{
		{"off", "", "ADMIN_ADDR is off", 1},
		{"127.0.0.1:0", "", "give --url", 1},
		{"9090", "", "ADMIN_ADDR", 1},
		{"127.0.0.1:1", "", "check that api or worker runs, and that ADMIN_ADDR", 1},
		{"", "http://" + other.Addr().String(), "check that api or worker runs", 1},
		{"", "127.0.0.1:9090", "http://127.0.0.1:9090", 2},
	} {
		t.Setenv("ADMIN_ADDR", c.address)
		_, err := run(t, "health", "--timeout", "300ms", "--url", c.url)
		if exitCode(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("with ADMIN_ADDR=%s and --url %s: exit code %d, %v", c.address, c.url, exitCode(err), err)
		}
	}
}
