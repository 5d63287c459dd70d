package devstack

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/process"
)

func TestChildrenDieWithTheirParentAndTheNextRunGoesOn(t *testing.T) {
	dir := stackDir(t)
	parent, children := startParent(t, "dev", dir)
	r := children()
	for _, pid := range []int{r.PostgresPID, r.TemporalPID} {
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("process %d is in the group %d (%v), so that Ctrl-C would reach it", pid, group, err)
		}
	}
	_, err := Lock(dir)
	wantError(t, err, "another memexport dev (pid "+strconv.Itoa(parent.PID())+") runs in "+dir, "--dir")

	parent.Kill()
	// Take the lock for the next run at once, while the old server is still shutting down.
	await.True(t, patience, "the lock is free", func() bool {
		release, err := Lock(dir)
		if err == nil {
			release()
		}
		return err == nil
	})
	p := startPostgres(t, PostgresOptions{Dir: dir})
	startTemporal(t, TemporalOptions{Dir: dir})
	if err := exec1(p.URL, "SELECT n FROM kept"); err != nil {
		t.Error("the data is lost:", err)
	}
	await.True(t, patience, "the children of the killed parent are gone", func() bool { return process.Ended(r.PostgresPID) && process.Ended(r.TemporalPID) })
}

func TestAReleasedLockCanBeTakenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "Lock")
	for range 2 {
		release, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Lock(dir)
		wantError(t, err, strconv.Itoa(os.Getpid()), dir)
		release()
	}
}

// If root runs the tests, this test runs the other tests of this package again as an ordinary user.
func TestAnOrdinaryUserPassesTheseTests(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user")
	}
	const uid = 65534 // nobody
	program, err := temporalFinder{log: t.Logf}.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The ordinary user may not have access to files that belong to root: the test binary, the CLI
	// and the caches.
	dir := stackDir(t)
	place(t, program.path, filepath.Join(dir, "temporal"))
	place(t, os.Args[0], filepath.Join(dir, "devstack.test"))
	place(t, "testdata/postgres.txz", filepath.Join(dir, "testdata", "postgres.txz"))
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, uid, uid); err != nil {
		t.Fatal(err)
	}
	// Skip the tests that compile programs. Compiling does not depend on the user, and is slow with
	// an empty cache.
	cmd := exec.Command(filepath.Join(dir, "devstack.test"), "-test.v", "-test.timeout=8m", "-test.skip=Build|Built")
	cmd.Dir = dir
	cmd.Env = append(process.EnvironWithout("HOME=", "TMPDIR=", "XDG_", "PATH="),
		"HOME="+home, "TMPDIR="+home, "PATH="+dir+":"+os.Getenv("PATH"))
	(&account{uid: uid, gid: uid}).apply(cmd)
	if out, err := process.Run(t.Context(), cmd, process.RunOptions{}); err != nil {
		if failure, ok := errors.AsType[*process.Failure](err); ok {
			t.Log(failure.Output)
		}
		t.Error(err)
	} else if !strings.Contains(out, "PASS: TestChildrenDieWithTheirParent") {
		t.Errorf("the tests did not run:\n%s", out)
	}
}

// place copies a file and lets everybody read and run the copy.
func place(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
