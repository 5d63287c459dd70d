package resume

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAStalledDownloadIsCutAndContinued(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		if number > 1 {
			return false
		}
		if number == 0 { // the first response stops in its body; there is no response to the second request
			w.Header().Set("Content-Length", "300000")
			_, _ = w.Write(s.content[:100_000])
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		return true
	}
	path := filepath.Join(t.TempDir(), "file.partial")
	d := s.download()
	d.Idle = 200 * time.Millisecond
	var failures []error
	d.Retry.Notify = func(err error, _ time.Duration) { failures = append(failures, err) }
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
	if len(failures) < 2 || !errors.Is(failures[0], errIdle) || !errors.Is(failures[1], errIdle) {
		t.Errorf("the attempts failed with %v", failures)
	}
}

func TestAnIdleLimitOf0CutsNoDownload(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		time.Sleep(50 * time.Millisecond)
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(s.content[:100_000])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
		_, _ = w.Write(s.content[100_000:])
		return true
	}
	d := s.download()
	d.Idle = 0
	d.Retry.For = func() time.Duration { return 0 }
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil {
		t.Fatal(err)
	}
	file(t, path, s.content)
}

func TestADownloadGoesOnAfterTheHostWasNotFound(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
		if number == 0 {
			http.ServeContent(breaks(100_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
		}
		return number == 0
	}
	dials := 0
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials == 2 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	d := s.download()
	d.Client = &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true, DialContext: dial}}
	path := filepath.Join(t.TempDir(), "file.partial")
	if err := d.To(t.Context(), output(t, open(t, path))); err != nil || dials != 3 {
		t.Fatalf("the download ended with %v after %d dials", err, dials)
	}
	file(t, path, s.content)
}

// The service has answered, but nobody has reached the store that it redirects to.
func TestAStoreThatIsNotFoundEndsTheDownload(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(1000))
	s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://store.invalid/file", http.StatusFound)
		return true
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "store.invalid") {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "store.invalid", IsNotFound: true}}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	d := s.download()
	d.Client = &http.Client{Transport: &http.Transport{DialContext: dial}}
	err := d.To(t.Context(), output(t, open(t, filepath.Join(t.TempDir(), "file.partial"))))
	if n := len(s.asked()); err == nil || !strings.Contains(err.Error(), "store.invalid") || n != 1 {
		t.Errorf("the download ended with %v after %d requests, want one", err, n)
	}
}

func TestOnlyTransientStatusesAreRetried(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{401: 1, 404: 1, 410: 1, 503: 3} {
		s := newServer(t, random(1000))
		s.fault = func(number int, w http.ResponseWriter, _ *http.Request) bool {
			if number < 2 {
				w.WriteHeader(status)
			}
			return number < 2
		}
		err := s.download().To(t.Context(), output(t, open(t, filepath.Join(t.TempDir(), "file.partial"))))
		if got := len(s.asked()); got != want || (err == nil) != (want == 3) {
			t.Errorf("after %d: %d requests and %v, want %d requests", status, got, err, want)
		}
	}
}

func TestAResponseWithAContentEncodingIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(1000))
	s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding is %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(s.content)
		return true
	}
	if err := s.download().To(t.Context(), output(t, open(t, filepath.Join(t.TempDir(), "file.partial")))); err == nil {
		t.Error("bytes with a Content-Encoding passed for the file")
	}
}

func TestProgressStartsTheTimeLimitAnew(t *testing.T) {
	t.Parallel()
	attempts := 0
	r := Retry{For: func() time.Duration { return 0 }, Notify: func(error, time.Duration) {}}
	passing := Transient(errors.New("broken"), nil)
	var gaveUp *GaveUp
	if err := r.DoWithProgress(t.Context(), func(context.Context) (bool, error) { attempts++; return true, passing }); !errors.As(err, &gaveUp) || attempts != 1 {
		t.Errorf("with a limit of 0: %d attempts and %v", attempts, err)
	}
	// Every attempt but the last makes progress and then fails. All attempts together take longer than
	// the limit.
	const limit = time.Second
	waited := time.Duration(0)
	r = Retry{For: func() time.Duration { return limit }, Notify: func(_ error, wait time.Duration) { waited += wait }}
	attempts = 0
	err := r.DoWithProgress(t.Context(), func(context.Context) (bool, error) {
		if attempts++; attempts == 5 {
			return false, nil
		}
		return true, passing
	})
	if err != nil || waited <= limit {
		t.Errorf("with progress: %v after %d attempts and %s of waiting", err, attempts, waited)
	}
}

func TestADownloadThatAlwaysStartsOverIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(number int, w http.ResponseWriter, r *http.Request){
		"no ETag":     func(_ int, w http.ResponseWriter, _ *http.Request) { w.Header().Del("ETag") },
		"a weak ETag": func(_ int, w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `W/"weak"`) },
		"a weak ETag in every second response": func(number int, w http.ResponseWriter, _ *http.Request) {
			if number%2 == 1 {
				w.Header().Set("ETag", `W/"weak"`)
			}
		},
		"another range than the rest": func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				r.Header.Set("Range", "bytes=1-")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const enough = 10 // the requests after so many are answered with the whole file
			s := newServer(t, random(300_000))
			s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
				change(number, w, r)
				if number < enough {
					http.ServeContent(breaks(100_000)(w, r), r, "", time.Time{}, bytes.NewReader(s.content))
				}
				return number < enough
			}
			d := s.download()
			d.Retry.For = func() time.Duration { return time.Second }
			var gaveUp *GaveUp
			if err := d.To(t.Context(), output(t, open(t, filepath.Join(t.TempDir(), "file.partial")))); !errors.As(err, &gaveUp) {
				t.Errorf("the download ended with %v after %d requests", err, len(s.asked()))
			}
		})
	}
}

func TestACancelledDownloadReturnsTheCause(t *testing.T) {
	t.Parallel()
	s := newServer(t, random(300_000))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		cancel(cause)
		<-r.Context().Done()
		return true
	}
	if err := s.download().To(ctx, output(t, open(t, filepath.Join(t.TempDir(), "file.partial")))); !errors.Is(err, cause) {
		t.Errorf("it ended with %v", err)
	}
}
