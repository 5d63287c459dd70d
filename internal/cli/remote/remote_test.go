package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/cli/progress"
	"memexport/internal/cli/resume"
)

// roundTripper is a function that implements http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAWrongHostOrCertificateIsTriedAgainOnceTheServiceHasAnswered(t *testing.T) {
	for name, wrong := range map[string]error{
		"a name that is not found": &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}},
		"an unknown certificate":   &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"an answer without TLS":    tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
	} {
		for _, reached := range []bool{false, true} {
			svc, err := New(Options{URL: "http://api", RetryFor: time.Minute, FirstFor: time.Minute, Report: progress.Silent()})
			if err != nil {
				t.Fatal(err)
			}
			// The service answers all requests except the first or, if it is reached before, the second.
			requests, failing := 0, 1
			if reached {
				failing = 2
			}
			svc.http.Transport.(*noting).next = roundTripper(func(*http.Request) (*http.Response, error) {
				if requests++; requests == failing {
					return nil, wrong
				}
				recorder := httptest.NewRecorder()
				_, _ = recorder.WriteString("{}")
				return recorder.Result(), nil
			})
			if reached {
				if _, err := svc.Get(t.Context(), uuid.New()); err != nil {
					t.Fatal(err)
				}
			}
			_, err = svc.Get(t.Context(), uuid.New())
			var gaveUp *resume.GaveUp
			switch {
			case reached && (err != nil || requests != 3):
				t.Errorf("%s after an answer: %v after %d requests", name, err, requests)
			case !reached && (!errors.As(err, &gaveUp) || requests != 1):
				t.Errorf("%s at first: %v after %d requests", name, err, requests)
			}
		}
	}
}

func TestANotFoundAfterAFailureIsSuccessOnlyIfTheExportMayBeDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		first   http.HandlerFunc // answers the first request; nil if there is no connection
		deleted bool             // the first request may have deleted the export
	}{
		"no connection":   {nil, false},
		"too many":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, false},
		"a server error":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, true},
		"a lost response": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := c.first
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if first != nil {
					answer := first
					first = nil
					answer(w, r)
					return
				}
				refuse(w, http.StatusNotFound, "EXPORT_NOT_FOUND", "There is no such export.")
			}))
			defer server.Close()
			svc, err := New(Options{URL: server.URL, RetryFor: time.Minute, FirstFor: time.Minute, Report: progress.Silent()})
			if err != nil {
				t.Fatal(err)
			}
			dials := 0
			svc.http.Transport.(*noting).next.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if dials++; dials == 1 && c.first == nil {
					return nil, errors.New("connection refused")
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			err = svc.Delete(t.Context(), uuid.New())
			var refusal *Refusal
			if notFound := errors.As(err, &refusal) && refusal.Status == http.StatusNotFound; notFound == c.deleted || err != nil && !notFound {
				t.Errorf("the deletion ended with %v", err)
			}
		})
	}
}

// dropping is a network connection that can drop everything it sends and receives, without closing.
type dropping struct {
	net.Conn
	drop atomic.Bool
}

func (d *dropping) Read(b []byte) (int, error) {
	for {
		n, err := d.Conn.Read(b)
		if err != nil || !d.drop.Load() {
			return n, err
		}
	}
}

func (d *dropping) Write(b []byte) (int, error) {
	if d.drop.Load() {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

func TestADownloadLeavesAnHTTP2ConnectionThatDropsEverything(t *testing.T) {
	const half = "0123456789"
	var first atomic.Pointer[dropping] // the first connection
	var downloads atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/download") {
			_, _ = w.Write(ready(half + half))
			return
		}
		if r.ProtoMajor != 2 {
			t.Errorf("the download uses %s", r.Proto)
		}
		w.Header().Set("ETag", `"x"`)
		if downloads.Add(1) > 1 {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(half+half))
			return
		}
		_, _ = w.Write([]byte(half))
		_ = http.NewResponseController(w).Flush()
		first.Load().drop.Store(true)
		<-r.Context().Done()
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer server.CloseClientConnections()
	svc, err := New(Options{URL: server.URL, RetryFor: time.Minute, FirstFor: time.Minute, Report: progress.Silent()})
	if err != nil {
		t.Fatal(err)
	}
	transport := svc.http.Transport.(*noting).next.(*http.Transport)
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		d := &dropping{Conn: conn}
		first.CompareAndSwap(nil, d)
		return d, err
	}
	if transport.HTTP2 == nil || transport.HTTP2.SendPingTimeout+transport.HTTP2.PingTimeout >= answerTimeout {
		t.Fatal("a dead connection is not closed before the next attempt")
	}
	transport.HTTP2.SendPingTimeout /= 100 // so that the test is fast
	transport.HTTP2.PingTimeout /= 100
	out := filepath.Join(t.TempDir(), "out.json")
	if _, err := svc.Save(t.Context(), Job{ID: uuid.New(), Output: out}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != half+half {
		t.Errorf("the file is %q, %v", got, err)
	}
	if n := downloads.Load(); n < 2 {
		t.Errorf("the file was downloaded with %d requests", n)
	}
}

// ready returns the JSON of an export that is READY and whose file has this content.
func ready(content string) []byte {
	sum := sha256.Sum256([]byte(content))
	return fmt.Appendf(nil, `{"id":"0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24","format":"json","status":"READY","progress":100,"memory_count":1,`+
		`"created_at":"2026-01-15T10:30:00.000Z","updated_at":"2026-01-15T10:30:00.000Z","size_bytes":%d,"sha256":%q}`, len(content), hex.EncodeToString(sum[:]))
}
