package devstack

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes this test binary play the parent that a test kills.
const roleVariable = "DEVSTACK_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Getenv("DEVSTACK_TEST_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// report is what a parent prints when its children run.
type report struct{ PostgresPID, TemporalPID, OtherPID int }

func play(role, dir string) error {
	var r report
	switch role {
	case "dev":
		if _, err := Lock(dir); err != nil {
			return err
		}
		p, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir, Fast: true})
		if err != nil {
			return err
		}
		if err := exec1(p.URL, "CREATE TABLE kept (n int)"); err != nil {
			return err
		}
		t, err := StartTemporal(context.Background(), TemporalOptions{Dir: dir})
		if err != nil {
			return err
		}
		r = report{PostgresPID: p.PID, TemporalPID: t.PID}
	case "postgres":
		if _, err := StartPostgres(context.Background(), PostgresOptions{Dir: dir, Fast: true}); err != nil {
			return err
		}
	case "watchdog": // what child_other.go does
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			return err
		}
		if _, err := startWatchdog(cmd.Process.Pid, syscall.SIGKILL); err != nil {
			return err
		}
		r = report{OtherPID: cmd.Process.Pid}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return errors.New("nobody killed this process")
}

// startParent starts a process that plays the role and returns it with what it prints first, on
// demand.
func startParent(t *testing.T, role, dir string) (parent *exec.Cmd, children func() report) {
	t.Helper()
	parent = exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVariable+"="+role, "DEVSTACK_TEST_DIR="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	wait, err := spawn(parent, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = parent.Process.Kill()
		<-wait
	})
	return parent, func() (r report) {
		t.Helper()
		if err := json.NewDecoder(out).Decode(&r); err != nil {
			t.Fatal("the parent did not start its children:", err)
		}
		return r
	}
}

// stackDir is a directory that also the user that Postgres runs as can reach, unlike t.TempDir.
func stackDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "memexport-devstack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	o.Fast, o.Log = true, t.Logf
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func startTemporal(t *testing.T, o TemporalOptions) *Temporal {
	t.Helper()
	o.Log = t.Logf
	s, err := StartTemporal(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func exec1(url, statement string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

// eventually fails the test when the fact does not come true in time.
func eventually(t *testing.T, fact string, isTrue func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := poll(ctx, 10*time.Millisecond, func() (bool, error) { return isTrue(), nil }); err != nil {
		t.Fatal("this did not become true: " + fact)
	}
}

// gone tells whether a process has ended; one that nobody has waited for yet counts as ended.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
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
