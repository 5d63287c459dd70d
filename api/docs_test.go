package api_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"memexport/openapi"
)

const componentPath = "/docs/" + openapi.DocsComponentName

func TestTheDocsPageNeedsNoKeyAndLoadsOnlyFromItsOwnOrigin(t *testing.T) {
	t.Parallel()
	s := newService(t)
	page := s.do(t, "GET", "/docs", "X-Api-Key", "").status(t, 200).header(t, "Content-Type", "text/html; charset=utf-8").
		header(t, "Cache-Control", "no-cache")
	directives := map[string]string{}
	for _, directive := range strings.Split(page.Header.Get("Content-Security-Policy"), "; ") {
		name, sources, _ := strings.Cut(directive, " ")
		directives[name] = sources
	}
	for name, want := range map[string]string{"default-src": "'none'", "script-src": "'self'", "connect-src": "'self'",
		"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"} {
		if directives[name] != want {
			t.Errorf("%s %s, want %s", name, directives[name], want)
		}
	}
	for name, sources := range directives {
		if strings.ContainsAny(sources, "*.") || strings.Contains(sources, "unsafe-eval") {
			t.Errorf("%s %s", name, sources)
		}
	}
	s.do(t, "HEAD", "/docs", "X-Api-Key", "").status(t, 200).header(t, "Content-Security-Policy", page.Header.Get("Content-Security-Policy"))
	s.do(t, "GET", "/docs", "If-None-Match", page.Header.Get("ETag")).status(t, 304)
}

func TestEverythingThatTheDocsPageRefersToIsServed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	page := s.do(t, "GET", "/docs").status(t, 200)
	types := map[string]string{"/docs/init.js": "text/javascript; charset=utf-8", componentPath: "text/javascript; charset=utf-8",
		"/docs/favicon.svg": "image/svg+xml", "/docs/licenses.txt": "text/plain; charset=utf-8",
		"/openapi.yaml": "application/yaml", "/openapi.json": "application/json", "/openapi-3.0.yaml": "application/yaml"}
	seen := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(string(page.body), -1) {
		path := match[1]
		seen[path] = true
		a := s.do(t, "GET", path, "X-Api-Key", "").status(t, 200).header(t, "Content-Type", types[path])
		if len(a.body) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	if len(seen) != len(types) {
		t.Errorf("the page refers to %v", seen)
	}
	noscript := regexp.MustCompile(`(?s)<noscript>.*href="/openapi.yaml".*</noscript>`)
	if !noscript.Match(page.body) || !bytes.Contains(page.body, []byte("<title>")) {
		t.Error("the page lacks a title, or a link for browsers without JavaScript")
	}
}

func TestTheRootRedirectsToTheDocsPage(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.do(t, "GET", "/", "X-Api-Key", "").status(t, 302).header(t, "Location", "/docs")
}

func TestTheDocsComponentIsServedCompressedAndPlain(t *testing.T) {
	t.Parallel()
	s := newService(t)
	reader, err := gzip.NewReader(bytes.NewReader(openapi.DocsComponent))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for accept, encoding := range map[string]string{
		"gzip": "gzip", "br, gzip;q=0.5": "gzip", "deflate, gzip, br, zstd": "gzip",
		"identity": "", "br": "", "gzip;q=0": "", "gzip;q=0, identity": "", "x;;;": "",
		"*": "gzip", "x-gzip": "gzip", "gzip;q=0, *": "", "gzip;q=0.5, identity": "",
	} {
		want := plain
		if encoding == "gzip" {
			want = openapi.DocsComponent
		}
		get := s.do(t, "GET", componentPath, "X-Api-Key", "", "Accept-Encoding", accept, "Range", "bytes=5-2").status(t, 200)
		head := s.do(t, "HEAD", componentPath, "X-Api-Key", "", "Accept-Encoding", accept).status(t, 200)
		tag := get.Header.Get("ETag")
		for _, a := range []answer{get, head} {
			a.header(t, "Content-Encoding", encoding).header(t, "Content-Length", strconv.Itoa(len(want))).header(t, "ETag", tag).
				header(t, "Vary", "Accept-Encoding").header(t, "Cache-Control", "public, max-age=31536000, immutable").
				header(t, "Content-Type", "text/javascript; charset=utf-8")
		}
		if !bytes.Equal(get.body, want) {
			t.Errorf("Accept-Encoding %q: %d bytes, want %d", accept, len(get.body), len(want))
		}
		if other, ok := tags[encoding]; ok && other != tag || tag == "" {
			t.Errorf("Accept-Encoding %q: ETag %q and %q", accept, tag, other)
		}
		tags[encoding] = tag
		same := s.do(t, "GET", componentPath, "Accept-Encoding", accept, "If-None-Match", tag).status(t, 304).header(t, "Vary", "Accept-Encoding")
		if len(same.body) > 0 {
			t.Errorf("304 with %d bytes", len(same.body))
		}
	}
	if tags[""] == tags["gzip"] {
		t.Error("two representations have the same ETag")
	}
	unasked := httptest.NewRecorder()
	s.handler.ServeHTTP(unasked, httptest.NewRequest("GET", componentPath, nil))
	if unasked.Header().Get("Content-Encoding") != "" || !bytes.Equal(unasked.Body.Bytes(), plain) {
		t.Error("a request without Accept-Encoding is answered with an encoding")
	}
}

func TestOtherPathsHaveNoHeadersOfTheDocsPage(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, path := range []string{"/v1/exports", "/v1/exports/x", "/healthz", "/openapi.yaml", "/docs/x"} {
		a := s.do(t, "GET", path, "Origin", "https://example.com")
		for name := range a.Header {
			if name == "Content-Security-Policy" || name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s has the header %s", path, name)
			}
		}
	}
}

// whole is a ResponseWriter that keeps what it gets, without a copy.
type whole struct {
	*httptest.ResponseRecorder
	t    *testing.T
	sent []byte
}

func (w *whole) Write(p []byte) (int, error) {
	w.sent = p
	return len(p), nil
}

func (w *whole) ReadFrom(io.Reader) (int64, error) {
	w.t.Error("net/http holds a buffer while a client does not read")
	return 0, nil
}

// Callers need no key for these files, so a client that does not read them must not cost a buffer.
func TestTheDocsAreSentWithoutABuffer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for path, content := range map[string][]byte{componentPath: openapi.DocsComponent, "/openapi.yaml": openapi.YAML} {
		w := &whole{ResponseRecorder: httptest.NewRecorder(), t: t}
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		s.handler.ServeHTTP(w, r)
		if len(w.sent) != len(content) || &w.sent[0] != &content[0] {
			t.Errorf("%s is sent in pieces or from a copy", path)
		}
	}
}
