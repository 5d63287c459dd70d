//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	patience     = 30 * time.Second
	roleVariable = "PROCESS_TEST_ROLE" // if it is set, this test binary plays the parent that a test kills
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		fmt.Fprintln(os.Stderr, play(role))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// play starts a child, prints its process number and waits to be killed.
func play(role string) error {
	child := exec.Command("sleep", "600")
	switch role {
	case "bound":
		if _, err := Start(child, Options{}); err != nil {
			return err
		}
	case "watchdog": // start a watchdog, as Start does on Unix systems other than Linux
		if err := child.Start(); err != nil {
			return err
		}
		if _, err := startWatchdog(child.Process.Pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	fmt.Println(child.Process.Pid)
	time.Sleep(time.Hour)
	return errors.New("nobody killed this process")
}

// startParent starts a process that plays the role. It returns that process and the process number
// of its child.
func startParent(t *testing.T, role string) (parent *Process, child int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	var out Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	parent, err := Start(cmd, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(parent.Kill)
	match, err := parent.WaitOutput(t.Context(), linePattern)
	if err != nil {
		t.Fatal(err)
	}
	if child, err = strconv.Atoi(match[1]); err != nil {
		t.Fatal(err)
	}
	return parent, child
}

// wantError checks that an error says all of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
