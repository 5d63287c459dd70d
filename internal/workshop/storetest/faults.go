package storetest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Faults is a store behind a proxy that makes some requests fail.
type Faults struct {
	*Store // with the address of the proxy

	mu      sync.Mutex
	decide  func(*http.Request) Fault
	answers int
}

// Fault describes what the proxy does with a request. The zero value forwards the request
// unchanged.
type Fault struct {
	// Status makes the proxy answer with an error that has this HTTP status and the store's error
	// format.
	Status int
	// Code replaces the error code that goes with Status, for S3 only.
	Code string
	// CutAfter makes the proxy close the connection after this many bytes of the response body. The
	// response header still has the full Content-Length. The value Nothing closes the connection
	// before the first byte of the body.
	CutAfter int
	// Hang makes the proxy stop sending after CutAfter bytes, without closing the connection.
	Hang bool
	// Until makes the proxy hold the request back until this channel is closed or the client gives
	// up.
	Until <-chan struct{}
}

// Nothing is the value of CutAfter that closes the connection before the first byte of the body.
const Nothing = -1

// NewFaults puts a proxy in front of the store. Until Set is called, the proxy forwards every
// request.
func (s *Store) NewFaults(t testing.TB) *Faults {
	t.Helper()
	f := &Faults{decide: func(*http.Request) Fault { return Fault{} }}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s.Address})
			r.Out.Host = r.In.Host // the request's signature covers the host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		fault := f.decide(r)
		if fault != (Fault{}) {
			f.answers++
		}
		f.mu.Unlock()
		if fault.Until != nil {
			select {
			case <-fault.Until:
			case <-r.Context().Done():
			}
		}
		switch {
		case fault.Status != 0:
			_, _ = io.Copy(io.Discard, r.Body)
			refuse(w, s.Name, fault)
		case fault.CutAfter != 0:
			c := &cut{ResponseWriter: w, left: max(fault.CutAfter, 0)}
			if fault.Hang {
				c.hang = r.Context().Done()
			}
			proxy.ServeHTTP(c, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f.Store = s.through(strings.TrimPrefix(server.URL, "http://"))
	return f
}

// Set sets the function that decides about each request, and resets Answers to 0.
func (f *Faults) Set(decide func(*http.Request) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide, f.answers = decide, 0
}

// Answers returns how many requests have had a Fault other than the zero value since Set was
// called.
func (f *Faults) Answers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// cut forwards the first bytes of a body and then hangs or closes the connection.
type cut struct {
	http.ResponseWriter
	left int
	hang <-chan struct{} // if not nil, hang until this channel is closed, which happens when the client gives up
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cut) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	if c.hang != nil {
		<-c.hang
	}
	panic(http.ErrAbortHandler)
}

// codes are the error codes of the stores by HTTP status.
var codes = map[int]struct{ s3, gcs, azure string }{
	http.StatusForbidden:           {"AccessDenied", "forbidden", "AuthorizationPermissionMismatch"},
	http.StatusNotFound:            {"NoSuchKey", "notFound", "BlobNotFound"},
	http.StatusInternalServerError: {"InternalError", "backendError", "InternalError"},
	http.StatusServiceUnavailable:  {"SlowDown", "backendError", "ServerBusy"},
}

func refuse(w http.ResponseWriter, store string, fault Fault) {
	var body string
	status := fault.Status
	switch code := codes[status]; store {
	case "s3":
		w.Header().Set("Content-Type", "application/xml")
		body = fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>for a test</Message></Error>`, cmp.Or(fault.Code, code.s3))
	case "gcs":
		w.Header().Set("Content-Type", "application/json")
		body = fmt.Sprintf(`{"error":{"code":%d,"message":"for a test","errors":[{"reason":%q,"message":"for a test"}]}}`, status, code.gcs)
	case "azure":
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Ms-Error-Code", code.azure)
		body = fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>for a test</Message></Error>`, code.azure)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
