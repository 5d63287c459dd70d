package archive

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"memexport/internal/service/format"
)

const exportID = "019b76da-a800-7000-8000-000000000001"

// marks is a format whose literals are easy to recognize in a file.
var marks = &format.Format{Name: "marks", Prefix: "<prefix>", Separator: "|", Suffix: "<suffix>"}

// bare is a format without literals: its files are the parts alone.
var bare = &format.Format{Name: "bare"}

// open returns an archive in a new directory, and the directory.
func open(t *testing.T) (*Archive, string) {
	t.Helper()
	dir := t.TempDir()
	a, err := Open(t.Context(), (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, dir
}

// compressing returns a copy of the archive a with Options.Compress set.
func compressing(a *Archive) *Archive {
	c := *a
	c.options.Compress = true
	return &c
}

// network returns an archive that reads the bucket of a as if it were on the network.
func network(a *Archive) *Archive {
	c := *a
	c.dir = ""
	return &c
}

func put(t *testing.T, a *Archive, number int, data []byte) Part {
	t.Helper()
	p, err := a.Put(t.Context(), exportID, 0, number, data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stored stores n random parts, some of them compressed, and returns them with the bytes of the file
// that they form.
func stored(t *testing.T, a *Archive, f *format.Format, random *rand.Rand, n int) ([]Part, []byte) {
	t.Helper()
	whole := []byte(f.Prefix)
	var parts []Part
	for i := range n {
		data := make([]byte, 1+random.IntN(40))
		if i%4 == 3 {
			data = make([]byte, 70_000+random.IntN(10))
		}
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		writer := a
		if random.IntN(2) == 0 {
			writer = compressing(a)
		}
		continues, separated := i > 0 && random.IntN(3) == 0, random.IntN(2) == 0
		if i > 0 && !continues {
			whole = append(whole, f.Separator...)
		}
		whole = append(whole, data...)
		if separated && !continues {
			data = append([]byte(f.Separator), data...)
		}
		p := put(t, writer, i, data)
		p.Continues, p.Separated = continues, separated && !continues
		parts = append(parts, p)
	}
	return parts, append(whole, f.Suffix...)
}

// files returns the contents of all files below a directory, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// cancelled returns a context that has been cancelled.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// damage holds ways to damage the file in which a part is stored.
var damage = map[string]func(path string, data []byte) error{
	"missing":   func(path string, _ []byte) error { return os.Remove(path) },
	"truncated": func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)-1], 0o600) },
	"empty":     func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"grown":     func(path string, data []byte) error { return os.WriteFile(path, append(data, 'x'), 0o600) },
	"corrupted": func(path string, data []byte) error { return os.WriteFile(path, flip(data), 0o600) },
	"moved":     func(path string, _ []byte) error { return os.Rename(path, path+"x") },
}

// flip returns data with one bit changed.
func flip(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)/2] ^= 1
	return data
}

func mustHave(t *testing.T, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the files are %.500q, want %.500q", got, want)
	}
}
