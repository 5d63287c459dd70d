package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTheStateOfDevIsForItsOwnerOnly(t *testing.T) {
	s := sharedStack(t)
	private := func(path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			return
		}
		want := fs.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		same(t, "the mode of "+path, info.Mode().Perm(), want)
	}
	for _, name := range []string{"api-key", "database-url", "postgres.password", "postgres.log", "temporal.log", "memexport.log"} {
		private(filepath.Join(s.dir, name))
	}
	c := s.client()
	c.ready(t, c.create(t, "format=csv").ID, startTimeout)
	files := 0
	for _, dir := range []string{"exports", "bucket"} {
		err := filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, entry fs.DirEntry, err error) error {
			if gone(err) { // another test has deleted this object
				return nil
			}
			if err != nil {
				return err
			}
			if !entry.IsDir() {
				files++
			}
			private(path)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files < 2 {
		t.Errorf("there are only %d files", files)
	}
	info, err := os.Stat(s.dir)
	if err != nil || info.Mode().Perm()&0o066 != 0 {
		t.Errorf("the state is in %v, %v", info, err)
	}
}
