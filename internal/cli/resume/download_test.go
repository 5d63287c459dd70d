package resume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestADownloadThatBreaksRequestsOnlyTheRest(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		switch number {
		case 0, 1:
			http.ServeContent(breaks(100_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return number < 3
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
	want := []string{"", "bytes=100000-", "bytes=200000-", "bytes=200000-"}
	if got := s.asked(); !slices.Equal(got, want) {
		t.Errorf("the requests had the ranges %q, want %q", got, want)
	}
}

func TestALaterProcessContinuesADownload(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	path := s.broken(t, 123_456)
	p := open(t, path)
	if err := s.download().To(t.Context(), output(t, p)); err != nil {
		t.Fatal(err)
	}
	if got := s.asked(); !slices.Equal(got, []string{"bytes=123456-"}) {
		t.Errorf("the requests had the ranges %q", got)
	}
	// The file is complete now, so no request is sent.
	if err := s.download().To(t.Context(), output(t, p)); err != nil {
		t.Fatal(err)
	}
	if got := s.asked(); len(got) != 1 {
		t.Errorf("the requests had the ranges %q", got)
	}
	target := filepath.Join(filepath.Dir(path), "file")
	if err := p.Finish(target, Keep); err != nil {
		t.Fatal(err)
	}
	file(t, target, s.content)
}

func TestAFileThatChangedIsDownloadedAnew(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]int{"longer": 400_000, "as long": 300_000, "shorter than what there is": 1000} {
		s := newServer(t, random(300_000))
		path := s.broken(t, 200_000)
		s.become(random(length))
		if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file(t, path, s.content)
		if got := s.asked(); len(got) != 1 {
			t.Errorf("%s: the requests had the ranges %q", name, got)
		}
	}
}

func TestWithoutAValidatorADownloadStartsOver(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Del("ETag")
		if number == 1 {
			w.Header().Set("ETag", `W/"weak"`)
		}
		if number < 2 {
			http.ServeContent(breaks(200_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
		}
		return number < 2
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
	if got := s.asked(); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("the requests had the ranges %q", got)
	}
}

func TestAFileThatChangesDuringADownloadIsDownloadedAnew(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	later := random(310_000)
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		if number > 0 {
			return false
		}
		before := s.content
		s.become(later)
		http.ServeContent(breaks(200_000)(w, r), r, "", time.Time{}, bytes.NewReader(before))
		return true
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, later)
	if got := s.asked(); !slices.Equal(got, []string{"", "bytes=200000-"}) {
		t.Errorf("the requests had the ranges %q", got)
	}
}

func TestTheSizeOfAChangedFileIsAskedAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	before, after := s.content, random(310_000)
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		if number == 0 {
			s.become(after)
			http.ServeContent(breaks(200_000)(w, r), r, "", time.Time{}, bytes.NewReader(before))
		}
		return number == 0
	}
	d := s.download()
	expect, asked := d.Expect, 0
	d.Expect = func(ctx context.Context) (File, error) {
		if asked++; asked == 2 { // after the change
			return File{}, Transient(errors.New("no answer"), nil)
		}
		return expect(ctx)
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, after)
}

func TestAStreamContinuesOnlyTheSameFile(t *testing.T) {
	t.Parallel()
	for _, changes := range []bool{false, true} {
		s := newServer(t, random(300_000))
		before, after := s.content, random(300_000)
		s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
			if number > 0 {
				return false
			}
			if changes {
				s.become(after)
			}
			http.ServeContent(breaks(200_000)(w, r), r, "", time.Time{}, bytes.NewReader(before))
			return true
		}
		var stream bytes.Buffer
		err := s.download().To(t.Context(), ToStream(&stream))
		var mismatch *Mismatch
		switch {
		case !changes && (err != nil || !bytes.Equal(stream.Bytes(), before)):
			t.Errorf("the stream ended with %v after %d bytes", err, stream.Len())
		case changes && (!errors.As(err, &mismatch) || !bytes.Equal(stream.Bytes(), before[:200_000])):
			t.Errorf("the file changed, and the stream ended with %v after %d bytes", err, stream.Len())
		}
	}
}

func TestADamagedOrLongerFileIsNotKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	damaged := bytes.Clone(s.content)
	damaged[150_000] ^= 1
	for name, body := range map[string][]byte{"damaged": damaged, "longer": append(bytes.Clone(s.content), 0)} {
		s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
			return true
		}
		path := filepath.Join(t.TempDir(), "file.partial")
		err := s.download().To(t.Context(), output(t, open(t, path)))
		if mismatch := (*Mismatch)(nil); !errors.As(err, &mismatch) || strings.Contains(err.Error(), "longer") != (name == "longer") {
			t.Errorf("%s: the download ended with %v", name, err)
		}
		file(t, path, nil)
	}
}

func TestBytesThatACrashDamagedAreDownloadedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	path := s.broken(t, 200_000)
	// After a power failure, some file systems leave zeros at the end of a file.
	if err := os.WriteFile(path, append(bytes.Clone(s.content[:100_000]), make([]byte, 100_000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
	if got := s.asked(); !slices.Equal(got, []string{"bytes=200000-", ""}) {
		t.Errorf("the requests had the ranges %q", got)
	}
}

func TestAPartialFileThatIsTooLongIsDownloadedAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	path := s.broken(t, 200_000)
	if err := os.WriteFile(path, append(bytes.Clone(s.content), 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
	if got := s.asked(); !slices.Equal(got, []string{""}) {
		t.Errorf("the requests had the ranges %q", got)
	}
}

func TestADownloadThatProgressesIsNotGivenUp(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		if number < 5 {
			http.ServeContent(breaks(50_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
		}
		return number < 5
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	d := s.download()
	d.Retry.For = func() time.Duration { return time.Second } // shorter than all pauses together
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
}

func TestAfterAChangeEveryByteIsProgress(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	before, after := s.content, random(300_000)
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		switch {
		case number == 0:
			s.become(after)
			http.ServeContent(breaks(280_000)(w, r), r, "", time.Time{}, bytes.NewReader(before))
		case number < 6:
			http.ServeContent(breaks(50_000)(w, r), r, "", time.Time{}, bytes.NewReader(after))
		}
		return number < 6
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	d := s.download()
	d.Retry.For = func() time.Duration { return time.Second } // shorter than all pauses together
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, after)
}

func TestOtherResponsesThanTheRestAreNeverAppended(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(s *server, w http.ResponseWriter){
		"another range": func(s *server, w http.ResponseWriter) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-99999/%d", len(s.content)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(s.content[:100_000])
		},
		"the range of another file": func(s *server, w http.ResponseWriter) {
			w.Header().Set("ETag", `"other"`)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 200000-299999/%d", len(s.content)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(random(100_000))
		},
		"not satisfiable": func(_ *server, w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		s := newServer(t, random(300_000))
		s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case number == 0:
				http.ServeContent(breaks(200_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
			case r.Header.Get("Range") != "":
				fault(s, w)
			default:
				return false
			}
			return true
		}
		path := filepath.Join(t.TempDir(), "file.partial")
		if err := s.download().To(t.Context(), output(t, open(t, path))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		file(t, path, s.content)
		if got := s.asked(); !slices.Equal(got, []string{"", "bytes=200000-", ""}) {
			t.Errorf("%s: the requests had the ranges %q", name, got)
		}
	}
}
