package api_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"memexport/api"
	"memexport/internal/workshop/process"
)

// buffer is the log of the API.
type buffer struct{ process.Buffer }

// await waits until the log contains text. A wait is needed, because a client may read the end of an
// answer before the server logs the request.
func (b *buffer) await(t *testing.T, text string) {
	t.Helper()
	for range 500 {
		if strings.Contains(b.String(), text) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the log lacks %q", text)
}

// requests returns how many requests have been logged.
func (s *service) requests() int { return strings.Count(s.log.String(), "msg=request ") }

func TestAPanicIsAnsweredWith500AndAnIDThatIsInTheLog(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Ready = func(context.Context) error { panic("a secret") } })
	a := s.do(t, "GET", "/readyz", "X-Request-Id", "my-request")
	a.header(t, "X-Request-Id", "my-request").problem(t, 500, "INTERNAL")
	if bytes.Contains(a.body, []byte("secret")) {
		t.Errorf("%s", a.body)
	}
	log := s.log.String()
	for _, want := range []string{"a secret", "my-request", "accesslog_test.go", "status=500"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, bad := range []string{"", "a b", "ü", strings.Repeat("x", 129)} {
		if id := s.do(t, "GET", "/healthz", "X-Request-Id", bad).Header.Get("X-Request-Id"); id == "" || id == bad {
			t.Errorf("%q: request id %q", bad, id)
		}
	}
}

func TestTheAccessLogShowsTheRouteAndTheIDsButNotTheQuery(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
	s.do(t, "GET", "/v1/exports?page=7&page_size=77").status(t, 200)
	log := s.log.String()
	for _, want := range []string{`method=GET route="GET /v1/exports/{id}" status=200`, "export_id=" + e.ID, "workspace_id=" + s.workspace, "duration=", "bytes=", "request_id="} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
	if strings.Contains(log, "page_size") || strings.Contains(log, "msk_") {
		t.Errorf("the log shows too much: %s", log)
	}
}
