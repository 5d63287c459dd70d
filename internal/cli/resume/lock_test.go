package resume

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	"memexport/internal/workshop/process"
)

// heldPath is set in a process of this test binary that holds a partial file for
// TestAKilledProcessLeavesNoLock.
const heldPath = "MEMEXPORT_TEST_HELD_PATH"

func TestMain(m *testing.M) {
	path := os.Getenv(heldPath)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := OpenPartial(path); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("locked\n")
	select {} // wait to be killed
}

func TestOneProcessHasThePartialFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	if _, err := OpenPartial(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second OpenPartial: %v", err)
	}
	if err := RemovePartial(path); !errors.Is(err, ErrBusy) {
		t.Errorf("RemovePartial: %v", err)
	}
	if err := p.Finish(filepath.Join(filepath.Dir(path), "file"), Keep); err != nil {
		t.Fatal(err)
	}
	p = open(t, path)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Close left the lock: %v", err)
	}
	open(t, path)
}

func TestAKilledProcessLeavesNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), heldPath+"="+path)
	var stdout process.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	holder, err := process.Start(cmd, process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(holder.Kill)
	if _, err := holder.WaitOutput(t.Context(), regexp.MustCompile("locked\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPartial(path); !errors.Is(err, ErrBusy) {
		t.Errorf("OpenPartial beside another process: %v", err)
	}
	holder.Kill()
	open(t, path) // this succeeds although the lock file of the killed process still exists
}

// If one process deletes the lock file while another locks it, two processes could get the lock.
// This tests that they do not.
func TestTheLockIsExclusiveWhileOthersRemoveIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	var holders, taken atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				l, err := lock(path)
				if errors.Is(err, ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) > 1 {
					t.Error("two have the lock")
				}
				taken.Add(1)
				holders.Add(-1)
				if err := unlock(l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the lock")
	}
}

func TestAMissingDirectoryIsReportedAsSuch(t *testing.T) {
	if _, err := OpenPartial(filepath.Join(t.TempDir(), "missing", "file.partial")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenPartial: %v", err)
	}
}
