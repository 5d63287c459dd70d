package api_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/export"
	"memexport/internal/service/postgres"
	"memexport/openapi"
)

func TestAPathWithoutARouteIsAnsweredWithAProblem(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, target := range []string{"/x", "/v1", "/v1/", "/v1/exports/", "//v1/exports", "/v1//exports", "/v1/exports/../exports", "/v1/./exports",
		"/v1/exports/x/", "/v1/exports/x/y", "/v1/exports/x/download/", "/v2/exports", "/V1/exports", "/openapi", "/docs/", "/docs/x", "/docs/index.html", "/schemas/Export.json"} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS"} {
			s.do(t, method, target).problem(t, 404, "NOT_FOUND")
		}
	}
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", "/v1/exports", "GET, HEAD, POST"},
		{"DELETE", "/v1/exports", "GET, HEAD, POST"},
		{"OPTIONS", "/v1/exports", "GET, HEAD, POST"},
		{"POST", "/v1/exports/x", "DELETE, GET, HEAD"},
		{"POST", "/v1/exports/x/download", "GET, HEAD"},
		{"POST", "/healthz", "GET, HEAD"},
		{"POST", "/openapi.yaml", "GET, HEAD"},
		{"POST", "/", "GET, HEAD"},
		{"POST", "/docs", "GET, HEAD"},
		{"OPTIONS", "/docs/init.js", "GET, HEAD"},
		{"BREW", "/v1/exports", "GET, HEAD, POST"},
	} {
		s.do(t, c.method, c.target).header(t, "Allow", c.allow).problem(t, 405, "METHOD_NOT_ALLOWED")
	}
}

func TestNoAcceptHeaderChangesTheAnswer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, accept := range []string{"", "*/*", "text/html", "json", "application/json;q=0", "application/cbor", "x/y;;;", "application/problem+json"} {
		s.do(t, "GET", "/v1/exports", "Accept", accept).status(t, 200).header(t, "Content-Type", "application/json").header(t, "Cache-Control", "no-store").header(t, "Link", s.do(t, "GET", "/v1/exports").Header.Get("Link"))
		s.do(t, "GET", "/v1/exports?x=1", "Accept", accept).problem(t, 422, "INVALID_REQUEST")
	}
}

func TestWithoutADatabaseTheAnswerIs503AndShowsNoCause(t *testing.T) {
	t.Parallel()
	dead, err := postgres.Open("postgres://somebody:secret@127.0.0.1:1/nothing?sslmode=disable", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	id := uuid.NewString()
	for _, kill := range []func(*api.Options){
		func(o *api.Options) { o.Keys = apikey.NewStore(dead) },
		func(o *api.Options) { o.Exports = export.NewStore(dead) },
	} {
		s := newService(t, kill)
		for _, c := range [][2]string{{"POST", "/v1/exports"}, {"GET", "/v1/exports"}, {"GET", "/v1/exports/" + id}, {"GET", "/v1/exports/" + id + "/download"}, {"DELETE", "/v1/exports/" + id}} {
			a := s.do(t, c[0], c[1]).header(t, "Retry-After", "5")
			p := a.problem(t, 503, "UNAVAILABLE")
			if len(p.Errors) > 0 || bytes.Contains(a.body, []byte("127.0.0.1")) || bytes.Contains(a.body, []byte("secret")) {
				t.Errorf("%s", a.body)
			}
		}
		if !strings.Contains(s.log.String(), "connection refused") {
			t.Error("the log lacks the reason")
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	ready := error(nil)
	s := newService(t, func(o *api.Options) { o.Ready = func(context.Context) error { return ready } })
	if a := s.do(t, "GET", "/healthz", "X-Api-Key", "").status(t, 200); strings.TrimSpace(string(a.body)) != `{"status":"ok"}` {
		t.Errorf("anyone may read %s", a.body)
	}
	s.do(t, "GET", "/readyz", "X-Api-Key", "").status(t, 200)
	ready = errors.New("postgres://user:password@host is down")
	s.do(t, "GET", "/healthz").status(t, 200)
	if a := s.do(t, "GET", "/readyz"); bytes.Contains(a.body, []byte("password")) {
		t.Errorf("%s", a.body)
	} else {
		a.problem(t, 503, "UNAVAILABLE")
	}
}

func TestTheDocumentsAreServed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for path, want := range map[string]struct {
		contentType string
		content     []byte
	}{
		"/openapi.yaml":     {"application/yaml", openapi.YAML},
		"/openapi.json":     {"application/json", openapi.JSON},
		"/openapi-3.0.yaml": {"application/yaml", openapi.YAML30},
		"/openapi-3.0.json": {"application/json", openapi.JSON30},
	} {
		a := s.do(t, "GET", path, "X-Api-Key", "", "Range", "bytes=5-2").status(t, 200).header(t, "Content-Type", want.contentType)
		if !bytes.Equal(a.body, want.content) || len(a.body) == 0 {
			t.Errorf("%s: %d bytes, want %d", path, len(a.body), len(want.content))
		}
		if etag := a.Header.Get("ETag"); etag == "" || len(s.do(t, "GET", path, "If-None-Match", etag).status(t, 304).body) > 0 {
			t.Errorf("%s: ETag %q", path, etag)
		}
		s.do(t, "HEAD", path).status(t, 200)
	}
}
