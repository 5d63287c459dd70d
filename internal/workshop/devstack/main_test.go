package devstack

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/process"
)

// patience limits how long a test waits for something that takes one or two seconds on an idle machine.
const patience = 30 * time.Second

// roleVariable is set in processes of this test binary that run a stack. The test kills these parent
// processes.
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

// report is what a parent process prints after it has started its children.
type report struct{ PostgresPID, TemporalPID int }

func play(role, dir string) error {
	var r report
	switch role {
	case "dev":
		release, err := Lock(dir)
		if err != nil {
			return err
		}
		defer release()
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
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return errors.New("nobody killed this process")
}

// startParent starts a process of this test binary that plays the role. The function children waits until
// that process has started its children and returns their process ids.
func startParent(t *testing.T, role, dir string) (parent *process.Process, children func() report) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "DEVSTACK_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	var out process.Buffer
	cmd.Stdout = &out
	parent, err := process.Start(cmd, process.Options{Name: "parent"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(parent.Kill)
	return parent, func() (r report) {
		t.Helper()
		line, err := parent.WaitOutput(t.Context(), regexp.MustCompile(`.*\n`))
		if err == nil {
			err = json.Unmarshal([]byte(line[0]), &r)
		}
		if err != nil {
			t.Fatal("the parent did not start its children:", err)
		}
		return r
	}
}

// stackDir returns a new directory that every user can enter, unlike t.TempDir. So Postgres can keep its
// data in this directory when root runs the tests.
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

// wantError checks that the error contains all of the parts.
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
