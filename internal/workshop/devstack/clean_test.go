package devstack

import (
	"os"
	"path/filepath"
	"testing"
)

// closedDir returns a directory for a stack. If root runs the test, the user that runs Postgres
// cannot enter that directory.
func closedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	t.Cleanup(func() {
		if err := Clean(dir, nil); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func missing(t *testing.T, path string) bool {
	t.Helper()
	exists, err := exists(path)
	if err != nil {
		t.Fatal(err)
	}
	return !exists
}

func TestCleanDeletesTheDataWhereverItIs(t *testing.T) {
	dir, other := closedDir(t), closedDir(t)
	nested := filepath.Join(dir, "bench") // the benchmarks have a stack in such a directory
	release, err := Lock(nested)
	if err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, PostgresOptions{Dir: nested})
	elsewhere := startPostgres(t, PostgresOptions{Dir: other})

	wantError(t, Clean(dir, t.Logf), "another memexport dev", "stop it")
	if missing(t, p.DataDir) {
		t.Fatal("the data of a running stack was deleted")
	}
	release()
	wantError(t, Clean(dir, t.Logf), "a Postgres", "still runs in "+p.DataDir)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir, t.Logf); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{p.DataDir, dir, dataOutside(nested)} {
		if !missing(t, path) {
			t.Errorf("%s is still there", path)
		}
	}
	if missing(t, elsewhere.DataDir) {
		t.Error("the data of another stack was deleted")
	}
	if err := Clean(dir, t.Logf); err != nil {
		t.Error("nothing was left to delete:", err)
	}
}

func TestCleanFindsDataWhoseDirectoryIsGone(t *testing.T) {
	dir := closedDir(t)
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	release()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir, t.Logf); err != nil {
		t.Fatal(err)
	}
	if !missing(t, p.DataDir) {
		t.Errorf("%s is still there", p.DataDir)
	}
}

func TestCleanLeavesOtherDirectoriesAlone(t *testing.T) {
	dir := t.TempDir()
	letter := filepath.Join(dir, "letter")
	for _, path := range []string{letter, filepath.Join(dir, "lock")} {
		if err := os.WriteFile(path, []byte("Dear reader"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clean(dir, t.Logf); err != nil {
		t.Error(err)
	}
	if missing(t, letter) {
		t.Error("a directory without a stack was deleted")
	}
}
