package storetest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// vanishing is a file system that also lists a file and a directory that do not exist, as if they
// had just been deleted.
type vanishing struct{ fstest.MapFS }

func (v vanishing) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := v.MapFS.ReadDir(name)
	if name == "." {
		entries = append(entries, gone{name: "part.tmp"}, gone{name: "parts", mode: fs.ModeDir})
	}
	return entries, err
}

type gone struct {
	name string
	mode fs.FileMode
}

func (g gone) Name() string               { return g.name }
func (g gone) IsDir() bool                { return g.mode.IsDir() }
func (g gone) Type() fs.FileMode          { return g.mode }
func (g gone) Info() (fs.FileInfo, error) { return nil, fs.ErrNotExist }

func TestAFileThatVanishesWhileTheyAreListedIsLeftOut(t *testing.T) {
	found, err := files(vanishing{fstest.MapFS{"exports/1/part": {Data: []byte("four")}}})
	if err != nil || !maps.Equal(found, map[string]int64{"exports/1/part": 4}) {
		t.Errorf("the files are %v, %v", found, err)
	}
}

func TestADirectoryThatIsMissingIsAnError(t *testing.T) {
	if found, err := files(os.DirFS(filepath.Join(t.TempDir(), "missing"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files are %v, %v", found, err)
	}
}
