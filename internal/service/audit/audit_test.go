package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/audit"
	"memexport/internal/workshop/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }

func open(t *testing.T) (*audit.Store, *sqlx.DB) {
	t.Helper()
	db := pgtest.Open(t, 4)
	return audit.NewStore(db), db
}

func record(t *testing.T, s *audit.Store, e audit.Event) {
	t.Helper()
	if err := s.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// requests returns the request ids of the events that q selects.
func requests(t *testing.T, s *audit.Store, q audit.Query) (ids []string) {
	t.Helper()
	err := s.Each(t.Context(), q, func(e audit.Event) error {
		ids = append(ids, e.RequestID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAnEventIsReadAsItWasRecorded(t *testing.T) {
	s, _ := open(t)
	want := audit.Event{Action: audit.Download, WorkspaceID: uuid.NewString(), KeyID: uuid.NewString(), ExportID: uuid.NewString(),
		Address: "2001:db8::1", RequestID: "r"}
	record(t, s, want)
	err := s.Each(t.Context(), audit.Query{}, func(got audit.Event) error {
		if age := time.Since(got.At); age < -time.Minute || age > time.Minute || got.At.Location() != time.UTC {
			t.Errorf("it happened at %v", got.At)
		}
		want.ID, want.At = got.ID, got.At
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		return nil
	})
	if err != nil || want.ID == 0 {
		t.Errorf("%v, %+v", err, want)
	}
}

func TestEventsAreSelected(t *testing.T) {
	s, db := open(t)
	workspace, other, key, export := uuid.NewString(), uuid.NewString(), uuid.NewString(), uuid.NewString()
	record(t, s, audit.Event{Action: audit.Create, WorkspaceID: workspace, KeyID: key, ExportID: export, RequestID: "1"})
	record(t, s, audit.Event{Action: audit.List, WorkspaceID: workspace, KeyID: "token:5f0c", RequestID: "2"})
	record(t, s, audit.Event{Action: audit.Erase, WorkspaceID: other, RequestID: "3"})
	record(t, s, audit.Event{Action: audit.Download, WorkspaceID: workspace, KeyID: key, ExportID: export, RequestID: "4"})
	if _, err := db.Exec(`ALTER TABLE memexport.audit DISABLE TRIGGER USER;
		UPDATE memexport.audit SET at = '2026-01-01Z'::timestamptz + id * interval '1 day' - (SELECT min(id) FROM memexport.audit) * interval '1 day';
		ALTER TABLE memexport.audit ENABLE TRIGGER USER`); err != nil {
		t.Fatal(err)
	}
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		q    audit.Query
		want []string
	}{
		{audit.Query{}, []string{"1", "2", "3", "4"}},
		{audit.Query{WorkspaceID: workspace}, []string{"1", "2", "4"}},
		{audit.Query{WorkspaceID: other}, []string{"3"}},
		{audit.Query{KeyID: key}, []string{"1", "4"}},
		{audit.Query{KeyID: "token:5f0c"}, []string{"2"}},
		{audit.Query{ExportID: export, Action: audit.Download}, []string{"4"}},
		{audit.Query{Since: day(2)}, []string{"2", "3", "4"}},
		{audit.Query{Until: day(2)}, []string{"1"}},
		{audit.Query{Since: day(2), Until: day(4), WorkspaceID: workspace}, []string{"2"}},
		{audit.Query{ExportID: uuid.NewString()}, nil},
	} {
		if got := requests(t, s, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v selects %q, want %q", c.q, got, c.want)
		}
	}
}

func TestTheTableIsAppendOnly(t *testing.T) {
	s, db := open(t)
	record(t, s, audit.Event{Action: audit.Create, WorkspaceID: uuid.NewString(), RequestID: "1"})
	for _, statement := range []string{
		`UPDATE memexport.audit SET action = 'x'`,
		`DELETE FROM memexport.audit`,
		`TRUNCATE memexport.audit`,
		`INSERT INTO memexport.audit (id, action, workspace_id, address, request_id) VALUES (1, 'x', gen_random_uuid(), '', '')`,
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("%s was not refused", statement)
		}
	}
	if got := requests(t, s, audit.Query{}); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the events are %q", got)
	}
}

func TestAnErasureNamesTheOperator(t *testing.T) {
	s, db := open(t)
	workspace := uuid.NewString()
	if err := s.RecordErase(t.Context(), workspace); err != nil {
		t.Fatal(err)
	}
	var role string
	if err := db.Get(&role, `SELECT session_user`); err != nil {
		t.Fatal(err)
	}
	err := s.Each(t.Context(), audit.Query{WorkspaceID: workspace}, func(e audit.Event) error {
		if e.Action != audit.Erase || e.Operator != role || e.KeyID != "" {
			t.Errorf("the event is %+v", e)
		}
		role = ""
		return nil
	})
	if err != nil || role != "" {
		t.Errorf("the event is missing: %v", err)
	}
}

func TestOldEventsAreDeletedInBatches(t *testing.T) {
	s, db := open(t)
	workspace := uuid.NewString()
	if _, err := db.Exec(`INSERT INTO memexport.audit (at, action, workspace_id, address, request_id)
		SELECT now() - n * interval '1 day' + interval '1 hour', 'export.read', $1, '', n FROM generate_series(1, 5) n`, workspace); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		deleted int
		left    []string
	}{{2, []string{"3", "2", "1"}}, {1, []string{"2", "1"}}, {0, []string{"2", "1"}}} {
		n, err := s.DeleteOld(t.Context(), 48*time.Hour, 2)
		if left := requests(t, s, audit.Query{}); n != step.deleted || err != nil || !slices.Equal(left, step.left) {
			t.Fatalf("%d were deleted, %v; left: %q; want %+v", n, err, left, step)
		}
	}
	if _, err := db.Exec(`DELETE FROM memexport.audit`); err == nil {
		t.Error("the connection that deleted old events may delete others")
	}
	record(t, s, audit.Event{Action: audit.Create, WorkspaceID: uuid.NewString(), RequestID: "other"})
	if n, err := s.DeleteWorkspace(t.Context(), workspace); n != 2 || err != nil {
		t.Errorf("%d events of the workspace were deleted, %v", n, err)
	}
	if left := requests(t, s, audit.Query{}); !slices.Equal(left, []string{"other"}) {
		t.Errorf("left: %q", left)
	}
}
