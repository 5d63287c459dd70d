package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
)

// audited returns the audit events of the service's workspace, except those of its keys.
func (s *service) audited(t *testing.T) (events []audit.Event) {
	t.Helper()
	err := audit.NewStore(s.db).Each(t.Context(), audit.Query{WorkspaceID: s.workspace}, func(e audit.Event) error {
		if e.ExportID != "" || e.Action == audit.List {
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// actions returns the actions of the events, such as "export.read", in order.
func actions(events []audit.Event) (names []string) {
	for _, e := range events {
		names = append(names, string(e.Action))
	}
	return names
}

func TestWhatACallerDoesIsAudited(t *testing.T) {
	s := newService(t)
	ready, _ := s.publish(t, "csv", time.Hour, "secret-memory\r\n")
	var keyID string
	if err := s.db.Get(&keyID, `SELECT id FROM memexport.api_keys`); err != nil {
		t.Fatal(err)
	}
	const user = "secret-user"
	created := s.do(t, "POST", "/v1/exports?user_id="+user, "Idempotency-Key", "secret-key", "X-Request-Id", "one").status(t, 202).job(t).ID
	for range 3 { // poll three times
		s.do(t, "GET", "/v1/exports/"+created).status(t, 200)
		s.do(t, "GET", "/v1/exports").status(t, 200)
	}
	download := "/v1/exports/" + ready.ID + "/download"
	s.do(t, "HEAD", download).status(t, 200)
	s.do(t, "GET", "/v1/exports/"+ready.ID).status(t, 200)
	for range 2 {
		s.do(t, "GET", download, "Range", "bytes=0-3").status(t, 206)
	}
	s.do(t, "DELETE", "/v1/exports/"+created).status(t, 204)
	reader := s.newKey(t, s.workspace, apikey.ReadExports)
	s.do(t, "GET", "/v1/exports", "X-Api-Key", reader).status(t, 200)
	s.do(t, "DELETE", "/v1/exports/"+ready.ID, "X-Api-Key", reader).status(t, 403)
	s.do(t, "GET", "/v1/exports/"+uuid.NewString()).status(t, 404)

	events := s.audited(t)
	want := []string{"export.create", "export.read", "export.list", "export.read", "export.download", "export.download", "export.delete", "export.list"}
	if got := actions(events); !slices.Equal(got, want) {
		t.Fatalf("the events are %q, want %q", got, want)
	}
	for i, e := range events {
		export := created
		switch {
		case e.Action == audit.List:
			export = ""
		case i >= 3 && i <= 5:
			export = ready.ID
		}
		if e.ExportID != export || e.Address != "127.0.0.1" || e.RequestID == "" || (e.KeyID == keyID) != (i < len(events)-1) {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	if events[0].RequestID != "one" {
		t.Errorf("the request is %q", events[0].RequestID)
	}
	var table string
	if err := s.db.Get(&table, `SELECT string_agg(a::text, ' ') FROM memexport.audit a`); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"the table": table, "the log": s.log.String()} {
		if strings.Contains(text, "secret-") {
			t.Errorf("%s has a value that it must not have: %s", where, text)
		}
	}
	if n := strings.Count(s.log.String(), "msg=audit"); n != len(want) {
		t.Errorf("the log has %d events, want %d", n, len(want))
	}
}

func TestNoFileLeavesWithoutAnAuditEvent(t *testing.T) {
	s := newService(t)
	ready, _ := s.publish(t, "csv", time.Hour, "memory\r\n")
	download := "/v1/exports/" + ready.ID + "/download"
	if _, err := s.db.Exec(`ALTER TABLE memexport.audit RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	if a := s.do(t, "GET", download); a.StatusCode != 500 || strings.Contains(string(a.body), "memory\r\n") {
		t.Errorf("%d: %s", a.StatusCode, a.body)
	}
	s.do(t, "HEAD", download).status(t, 200)
	s.do(t, "GET", "/v1/exports").status(t, 200)
	created := s.do(t, "POST", "/v1/exports").status(t, 202).job(t).ID
	s.do(t, "DELETE", "/v1/exports/"+created).status(t, 204)
	if n := strings.Count(s.log.String(), "an audit event is only in this log"); n != 4 {
		t.Errorf("the log tells %d times that an event is missing, want 4", n)
	}
	if _, err := s.db.Exec(`ALTER TABLE memexport.elsewhere RENAME TO audit`); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", download).status(t, 200)
	if got := fmt.Sprint(actions(s.audited(t))); got != "[export.download]" {
		t.Errorf("the events are %s", got)
	}
}
