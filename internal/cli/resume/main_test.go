package resume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// server serves one file with an ETag, as the API does, and can simulate faults.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	requests []string // the Range header of each request
	// fault, unless nil, is called first for each request and may answer it. The first request has
	// number 0.
	fault func(number int, w http.ResponseWriter, r *http.Request) (answered bool)
}

func newServer(t *testing.T, content []byte) *server {
	s := &server{content: content}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	number, content := len(s.requests), s.content
	s.requests = append(s.requests, r.Header.Get("Range"))
	s.mu.Unlock()
	w.Header().Set("ETag", `"`+digest(content)+`"`)
	if s.fault != nil && s.fault(number, w, r) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// become replaces the file that the server serves.
func (s *server) become(content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = content
}

func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// breaks returns a function that wraps a ResponseWriter. The wrapper closes the connection after n
// bytes of the body.
func breaks(n int) func(http.ResponseWriter, *http.Request) http.ResponseWriter {
	return func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
		return &breaking{ResponseWriter: w, left: n}
	}
}

type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, _ := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// download returns a Download of the server's file. It retries for a minute.
func (s *server) download() *Download {
	return &Download{
		Client: &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}},
		Request: func(ctx context.Context) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		},
		Refusal: func(r *http.Response) error {
			err := fmt.Errorf("refused: %s", r.Status)
			if TransientStatus(r.StatusCode) {
				return Transient(err, r)
			}
			return err
		},
		Expect: func(context.Context) (File, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return File{Size: int64(len(s.content)), SHA256: digest(s.content)}, nil
		},
		Idle:     time.Minute,
		Retry:    Retry{For: func() time.Duration { return time.Minute }, Notify: func(error, time.Duration) {}},
		Progress: func(int64, int64) {},
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func random(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	return content
}

func open(t *testing.T, path string) *Partial {
	t.Helper()
	p, err := OpenPartial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func output(t *testing.T, p *Partial) *Output {
	t.Helper()
	out, err := ToPartial(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// file fails the test unless the file at path has exactly this content.
func file(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes with the digest %s, want %d with %s", path, len(got), digest(got), len(want), digest(want))
	}
}

// broken creates a partial file with the first n bytes of the server's file, as an earlier process
// would leave it. It returns the path of the partial file.
func (s *server) broken(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.ServeContent(breaks(n)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
		return true
	}
	d := s.download()
	d.Retry.For = func() time.Duration { return 0 }
	var gaveUp *GaveUp
	if err := d.To(t.Context(), output(t, p)); !errors.As(err, &gaveUp) {
		t.Fatalf("the broken download ended with %v", err)
	}
	file(t, path, s.content[:n])
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s.fault, s.requests = nil, nil
	return path
}
