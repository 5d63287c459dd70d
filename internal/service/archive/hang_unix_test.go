//go:build unix

package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"memexport/internal/service/format"
)

// pipe puts a named pipe in the place of a part: without a writer, opening it hangs, as it does on a disk that does not
// answer. The returned function opens the pipe for writing.
func pipe(t *testing.T, dir string, part Part) (openWriter func() *os.File) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(part.Object))
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() *os.File {
		writer, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return writer
	}
}

// awaitNoneHangs waits until no abandoned operation is left.
func awaitNoneHangs(t *testing.T, a *Archive) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); a.hung.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d operations still hang", a.hung.Load())
		}
	}
}

func wantHangs(t *testing.T, err error) {
	t.Helper()
	var timeout interface{ Timeout() bool }
	if !errors.Is(err, errHangs) && !errors.Is(err, errStalled) || !errors.As(err, &timeout) || Denied(err) || Lost(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestOpeningAFileOfADiskThatHangsEnds(t *testing.T) {
	a, dir := open(t)
	a.options.StallTimeout = 50 * time.Millisecond
	part := put(t, a, 0, []byte("data"))
	openWriter := pipe(t, dir, part)
	_, err := io.ReadAll(a.File(t.Context(), format.CSV, []Part{part}))
	wantHangs(t, err)
	if a.hung.Load() == 0 {
		t.Error("no operation hangs")
	}
	writer := openWriter()
	defer writer.Close()
	awaitNoneHangs(t, a)
}

func TestReadingAFileOfADiskThatHangsEnds(t *testing.T) {
	a, dir := open(t)
	a.options.StallTimeout = 50 * time.Millisecond
	part := put(t, a, 0, []byte("data"))
	writer := pipe(t, dir, part)()
	s, err := a.openStream(t.Context(), part.Object, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(make([]byte, 10))
	wantHangs(t, err)
	_, err = s.Read(make([]byte, 10))
	wantHangs(t, err)
	s.close()
	writer.Close() // the read that hangs now sees the end of the file
	awaitNoneHangs(t, a)
}

func TestARequestToADiskThatHangsEnds(t *testing.T) {
	a, _ := open(t)
	a.options.RequestTimeout = 10 * time.Millisecond
	disk := make(chan struct{})
	for range maxHung {
		wantHangs(t, a.request(t.Context(), func(context.Context) error { <-disk; return nil }))
	}
	// Too many operations hang, so no other one begins.
	wantHangs(t, a.request(t.Context(), func(context.Context) error { t.Error("the request was sent"); return nil }))
	close(disk)
	awaitNoneHangs(t, a)
	a.options.RequestTimeout = time.Minute
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
