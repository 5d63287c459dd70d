//go:build unix

package resume

import (
	"errors"
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
	private(t, path)
	private(t, path+".json")
	if err := p.Finish(target, Keep); err != nil {
		t.Fatal(err)
	}
	private(t, target)
}

// private fails the test unless only the owner of a file can read and write it.
func private(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", path, info, err)
	}
}

func TestAnExistingPartialFileBecomesPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	for _, there := range []string{path, path + ".json.new"} {
		if err := errors.Join(os.WriteFile(there, nil, 0o600), os.Chmod(there, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, path)
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	private(t, path)
	private(t, path+".json")
}

func TestASymbolicLinkLeadsNoBytesElsewhere(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "file.partial"), filepath.Join(dir, "elsewhere")
	if err := errors.Join(os.WriteFile(elsewhere, []byte("mine"), 0o600), os.Symlink(elsewhere, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPartial(path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("the partial file was opened: %v", err)
	}
	if err := RemovePartial(path); !errors.Is(err, ErrNotRegular) {
		t.Errorf("the partial file was removed: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p := open(t, path)
	if err := os.Symlink(elsewhere, path+".json.new"); err != nil {
		t.Fatal(err)
	}
	if err := p.Save(); !errors.Is(err, ErrNotRegular) {
		t.Errorf("the state was saved: %v", err)
	}
	file(t, elsewhere, []byte("mine"))
}
