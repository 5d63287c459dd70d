//go:build unix

package remote

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"memexport/internal/cli/progress"
)

func TestASymbolicLinkIsRefusedAsOutputBeforeTheFirstRequest(t *testing.T) {
	svc, err := New(Options{URL: "http://127.0.0.1:1", Report: progress.Silent()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, link, dangling := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(file, link), os.Symlink(filepath.Join(dir, "missing"), dangling)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dangling} {
		for _, force := range []bool{false, true} {
			if _, err := svc.Save(t.Context(), Job{Output: path, Force: force}); !errors.Is(err, ErrExists) {
				t.Errorf("%s with Force %t: %v", path, force, err)
			}
		}
	}
}
