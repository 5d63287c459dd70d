//go:build unix

package archive

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// wantPrivate checks that only their owner can access dir and everything in it.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files: %v", files, err)
	}
}

func TestOnlyTheOwnerReadsADirectoryBucket(t *testing.T) {
	old := syscall.Umask(0) // the most generous umask
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	a, err := Open(t.Context(), "file://"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, size := range []int{1, directTestSize} {
		if _, err := a.Put(t.Context(), "0190a000-0000-4000-8000-00000000000e", 0, size, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "exports")); err != nil {
		t.Fatal(err)
	}
	wantPrivate(t, dir)
}

// directTestSize is large enough for a direct write, and not a multiple of its block size, so that
// the last bytes are written normally.
const directTestSize = 3<<20 + 17
