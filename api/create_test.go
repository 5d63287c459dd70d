package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"memexport/internal/service/export"
)

func TestAnExportIsAcceptedWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start := time.Now()
	a := s.do(t, "POST", "/v1/exports?format=csv&user_id=u").status(t, 202)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the answer took %s", took)
	}
	j := a.job(t)
	a.header(t, "Location", "/v1/exports/"+j.ID).header(t, "Retry-After", "1").header(t, "Content-Type", "application/json").header(t, "Cache-Control", "no-store")
	if j.Status != "PENDING" {
		t.Errorf("status %s", j.Status)
	}
	if stored, err := s.exports.Get(t.Context(), s.workspace, j.ID); err != nil || *stored.Filter.UserID != "u" {
		t.Errorf("stored: %+v, %v", stored, err)
	}
	if !strings.Contains(s.log.String(), "could not be started") {
		t.Error("the log does not say that the workflow was not started")
	}
}

func TestTheSameKeyAndParametersGiveTheSameExport(t *testing.T) {
	t.Parallel()
	s := newService(t)
	post := func(query, key string) answer { return s.do(t, "POST", "/v1/exports?"+query, "Idempotency-Key", key) }

	var group sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		group.Go(func() {
			ids[i] = post("user_id=u&created_after=2026-01-01T01:00:00%2B01:00", "k").status(t, 202).job(t).ID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("the requests made several exports: %v", ids)
		}
	}
	if n := s.count(t); n != 1 {
		t.Errorf("there are %d exports, want 1", n)
	}
	if id := post("created_after=2026-01-01&user_id=u&format=json", "k").status(t, 202).job(t).ID; id != ids[0] {
		t.Error("the same parameters in another spelling made another export")
	}
	for _, other := range []string{"user_id=v&created_after=2026-01-01", "user_id=u&created_after=2026-01-01&format=csv", ""} {
		post(other, "k").problem(t, 422, "IDEMPOTENCY_KEY_REUSED")
	}
	if n := s.count(t); n != 1 {
		t.Errorf("there are %d exports, want 1", n)
	}
	if err := s.exports.Fail(t.Context(), ids[0], export.Failures[export.CodeTimedOut]); err != nil {
		t.Fatal(err)
	}
	if j := post("created_after=2026-01-01&user_id=u", "k").status(t, 202).job(t); j.ID != ids[0] || j.Status != "FAILED" {
		t.Errorf("%+v", j)
	}
}

func TestABadIdempotencyKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, key := range []string{"", strings.Repeat("k", 256), "ü", "a\tb"} {
		p := s.do(t, "POST", "/v1/exports", "Idempotency-Key", key).problem(t, 422, "INVALID_REQUEST")
		if len(p.Errors) != 1 || p.Errors[0].Location != "header.Idempotency-Key" {
			t.Errorf("%q: %+v", key, p.Errors)
		}
	}
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
	s.do(t, "POST", "/v1/exports", "Idempotency-Key", strings.Repeat("k", 255)).status(t, 202)
}

// When a workspace is erased, its keys are deleted first.
func TestARequestWhoseKeyIsDeletedMeanwhileCreatesNoExport(t *testing.T) {
	t.Parallel()
	s := newService(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	answer := func() *http.Response {
		t.Helper()
		a, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	fmt.Fprintf(conn, "POST /v1/exports HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", s.key)
	if a := answer(); a.StatusCode != 100 { // the server has checked the key, and waits for the body
		t.Fatal(a.Status)
	}
	if err := s.keys.DeleteWorkspace(t.Context(), s.workspace); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "{}")
	if a := answer(); a.StatusCode != 401 {
		t.Error(a.Status)
	}
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
}
