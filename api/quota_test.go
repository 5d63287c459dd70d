package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/export"
)

// limited returns a service whose exports have these limits.
func limited(t *testing.T, limits export.Limits) *service {
	t.Helper()
	return newService(t, func(o *api.Options) { o.Exports = o.Exports.WithLimits(limits) })
}

func TestTooManyUnfinishedExportsAreRefused(t *testing.T) {
	t.Parallel()
	s := limited(t, export.Limits{Running: 1, Unfinished: 2})
	first := s.do(t, "POST", "/v1/exports", "Idempotency-Key", "k").status(t, 202).job(t)
	waiting := s.do(t, "POST", "/v1/exports").status(t, 202).header(t, "Retry-After", "1").job(t)
	if waiting.Status != "PENDING" {
		t.Errorf("the export that waits is %s", waiting.Status)
	}
	if n := strings.Count(s.log.String(), "could not be started"); n != 1 { // only one start is tried, because the other export waits in the queue
		t.Errorf("%d workflows were started", n)
	}
	a := s.do(t, "POST", "/v1/exports")
	p := a.problem(t, 429, "EXPORT_LIMIT_REACHED")
	a.header(t, "Retry-After", "10").header(t, "RateLimit", `"unfinished-exports";r=0;t=10`).header(t, "RateLimit-Policy", `"unfinished-exports";q=2`)
	if !strings.Contains(p.Detail, "The limit is 2 exports.") {
		t.Errorf("the detail is %q", p.Detail)
	}
	if again := s.do(t, "POST", "/v1/exports", "Idempotency-Key", "k").status(t, 202).job(t); again.ID != first.ID {
		t.Errorf("the repeated request made %s", again.ID)
	}
	s.do(t, "POST", "/v1/exports", "Idempotency-Key", "new").problem(t, 429, "EXPORT_LIMIT_REACHED")
	stranger := s.newKey(t, uuid.NewString(), apikey.WriteExports)
	s.do(t, "POST", "/v1/exports", "X-Api-Key", stranger).status(t, 202)
	s.do(t, "DELETE", "/v1/exports/"+waiting.ID).status(t, 204)
	s.do(t, "POST", "/v1/exports").status(t, 202)
}

func TestTooManyStoredBytesAreRefused(t *testing.T) {
	t.Parallel()
	s := limited(t, export.Limits{WorkspaceBytes: 10})
	s.publish(t, "json", 1<<40, "0123456789")
	a := s.do(t, "POST", "/v1/exports")
	p := a.problem(t, 429, "STORAGE_LIMIT_REACHED")
	a.header(t, "Retry-After", "60").header(t, "RateLimit", `"stored-bytes";r=0;t=60`).header(t, "RateLimit-Policy", `"stored-bytes";q=10;qu="content-bytes"`)
	if !strings.Contains(p.Detail, "The limit is 10 bytes.") {
		t.Errorf("the detail is %q", p.Detail)
	}
	stranger := s.newKey(t, uuid.NewString(), apikey.WriteExports)
	s.do(t, "POST", "/v1/exports", "X-Api-Key", stranger).status(t, 202)
}

func TestAFullStoreRefusesNewExports(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	if err := s.exports.StoreFull(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	fresh := api.Options{Exports: export.NewStore(s.db), Keys: s.keys, Archive: s.archive}
	s.url = serve(t, api.New(fresh))
	a := s.do(t, "POST", "/v1/exports")
	a.problem(t, 503, "STORAGE_FULL")
	a.header(t, "Retry-After", "60").header(t, "RateLimit", "")
	s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
	s.do(t, "GET", "/readyz").status(t, 200)
}
