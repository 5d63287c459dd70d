package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
)

// FuzzRouter passes requests directly to the handler. If the OpenAPI document has an operation for a
// request, the answer must be a redirect or as documented. Otherwise the request must not succeed if its
// path is under /v1, and an error must have the form of a problem.
func FuzzRouter(f *testing.F) {
	s := newService(f)
	keys := []string{"", s.key, s.newKey(f, s.workspace, apikey.ReadExports), s.newKey(f, s.workspace, apikey.WriteExports), s.newKey(f, uuid.NewString(), apikey.Permissions...)}
	for _, target := range []string{"/", "/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz", "/v1/exports", "/v1/exports?page=2", "/v1/exports/", "/v1//exports", "/v1/exports/..", "/v1/exports/%2e%2e/x",
		"/v1/exports/0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24", "/v1/exports/0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24/download", "/v1/exports/x%2Fdownload", "/v1/exports?user_id=%ff", "/v1/exports?format=csv&user_id=a", "http://x/v1/exports", "*"} {
		for i, method := range []string{"GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS"} {
			f.Add(method, target, uint8(i), "", "Prefer", "wait=0")
		}
	}
	for _, key := range []string{"msk_live_", "msk_test_AAAA", "x' OR '1'='1", "\xff", strings.Repeat("A", 5000)} {
		f.Add("GET", "/v1/exports", uint8(0), key, "Range", "bytes=0-")
	}
	f.Fuzz(func(t *testing.T, method, target string, which uint8, key, name, value string) {
		address, err := url.ParseRequestURI(target)
		if err != nil || strings.Contains(value, "wait=") && value != "wait=0" { // skip long polls, because they would wait
			return
		}
		request := (&http.Request{Method: method, URL: address, RequestURI: target, Host: "x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, RemoteAddr: "127.0.0.1:1"}).WithContext(t.Context())
		request.Header.Set(name, value)
		known := keys[int(which)%len(keys)]
		request.Header["X-Api-Key"] = []string{known + key}
		if known+key == "" {
			request.Header.Del("X-Api-Key")
		}
		recorder := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.handler.ServeHTTP(recorder, request)
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s %q is not answered", method, target)
		}
		a := answer{Response: recorder.Result(), body: recorder.Body.Bytes()}
		a.Request = request
		if a.StatusCode >= 500 && a.StatusCode != http.StatusNotImplemented {
			t.Fatalf("%s %q: %s: %s", method, target, a.Status, a.body)
		}
		problem := a.Header.Get("Content-Type") == "application/problem+json"
		if operation := documented(request); operation != nil && a.StatusCode/100 != 3 {
			checkDocumented(t, a)
			if a.StatusCode >= 400 != problem {
				t.Errorf("%s %q: %s as %s", method, target, a.Status, a.Header.Get("Content-Type"))
			}
			if len(operation.Security) > 0 && a.StatusCode < 400 && (key != "" || known == "") {
				t.Errorf("%s %q with the key %q: %s", method, target, known+key, a.Status)
			}
			return
		}
		if a.StatusCode >= 400 && !problem {
			t.Errorf("%s %q: %s as %s", method, target, a.Status, a.Header.Get("Content-Type"))
		}
		if a.StatusCode/100 == 2 && strings.HasPrefix(request.URL.Path, "/v1") {
			t.Errorf("%s %q: %s, which is not documented", method, target, a.Status)
		}
	})
}
