//go:build unix

package resume

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestADownloadedFileIsForItsOwnerOnly(t *testing.T) {
	old := syscall.Umask(0) // the most generous umask
	defer syscall.Umask(old)
	dir := t.TempDir()
	path, target := filepath.Join(dir, "x.partial"), filepath.Join(dir, "x.json")
	s := newServer(t, random(1000))
	p := open(t, path)
	if err := s.download().To(t.Context(), output(t, p)); err != nil {
		t.Fatal(err)
	}
	private := func(path string) {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	private(path)
	private(path + ".json")
	if err := p.Finish(target, Keep); err != nil {
		t.Fatal(err)
	}
	private(target)
}
