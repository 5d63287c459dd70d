package export_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
)

// personal makes an export with a filter and an idempotency key. It takes the export to FAILED,
// because that is the shortest way to a status in which it can be purged.
func personal(t *testing.T, s *export.Store, key string) export.Export {
	t.Helper()
	e, err := s.Create(t.Context(), export.Export{WorkspaceID: tenant, Format: "csv", Filter: filter(), IdempotencyKey: &key})
	if err == nil {
		err = s.Fail(t.Context(), e.ID, export.Failures[export.CodeTimedOut])
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func purge(t *testing.T, s *export.Store, id string) {
	t.Helper()
	if err := s.Purged(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestAnIdempotencyKeyIsStoredAsADigest(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := personal(t, s, "anna@example.org")
	if text := row(t, db, e.ID); strings.Contains(text, "anna") || !strings.Contains(text, "sha256:") {
		t.Errorf("the row is %s", text)
	}
	if text := row(t, db, e.ID); !strings.Contains(text, `quo`) {
		t.Errorf("the filter is not in the row, so that the tests of erasure test nothing: %s", text)
	}
}

func TestAPurgeErasesTheFilter(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := personal(t, s, "key")
	purge(t, s, e.ID)
	for _, personal := range []string{`quo`, "good", "a b", "user_id", "2026-01-02"} {
		if text := row(t, db, e.ID); strings.Contains(text, personal) {
			t.Errorf("the row still has %q: %s", personal, text)
		}
	}
	got := find(t, s, e.ID)
	equal(t, "the names of the conditions", len(got.Filter.Names()), 0)
	equal(t, "the status", got.Status, export.Failed)
}

func TestARepeatOfAPurgedRequestMakesNoSecondExport(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	key := "key"
	e := personal(t, s, key)
	purge(t, s, e.ID)
	for what, repeat := range map[string]export.Export{
		"the same request":     {WorkspaceID: tenant, Format: "csv", Filter: filter(), IdempotencyKey: &key},
		"one without a filter": {WorkspaceID: tenant, Format: "csv", IdempotencyKey: &key},
	} {
		again, err := s.Create(t.Context(), repeat)
		if err != nil || again.ID != e.ID {
			t.Errorf("%s: %v, %v", what, again.ID, err)
		}
	}
	other, err := s.Create(t.Context(), export.Export{WorkspaceID: stranger, Format: "csv", IdempotencyKey: &key})
	if err != nil || other.ID == e.ID {
		t.Errorf("another workspace: %v, %v", other.ID, err)
	}
	db.MustExec(`UPDATE memexport.exports SET purged_at = now() - interval '2 hours' WHERE id = $1`, e.ID)
	if n, err := s.DeleteHistory(t.Context(), time.Hour, 10); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if next, err := s.Create(t.Context(), export.Export{WorkspaceID: tenant, Format: "csv", IdempotencyKey: &key}); err != nil || next.ID == e.ID {
		t.Errorf("the key is not free after its export has left the history: %v, %v", next.ID, err)
	}
}

// Version 0.1 stores the idempotency key itself, and does not erase the filter when it purges an
// export.
func TestRowsOfEarlierVersionsAreErasedAndFound(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	key := "anna@example.org"
	e := personal(t, s, "x")
	db.MustExec(`UPDATE memexport.exports SET idempotency_key = $2 WHERE id = $1`, e.ID, key)
	repeat := func(what string) {
		t.Helper()
		again, err := s.Create(t.Context(), export.Export{WorkspaceID: tenant, Format: "csv", Filter: filter(), IdempotencyKey: &key})
		if err != nil || again.ID != e.ID {
			t.Errorf("%s: %v, %v", what, again.ID, err)
		}
	}
	repeat("with the key itself in the row")
	if n, err := s.ErasePurged(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("%d rows were erased before a purge: %v", n, err)
	}
	db.MustExec(`UPDATE memexport.exports SET purged_at = now() WHERE id = $1`, e.ID)
	for _, want := range []int{1, 0} {
		if n, err := s.ErasePurged(t.Context(), 10); n != want || err != nil {
			t.Errorf("%d rows were erased, want %d: %v", n, want, err)
		}
	}
	if text := row(t, db, e.ID); strings.Contains(text, "anna") || strings.Contains(text, "user_id") {
		t.Errorf("the row is %s", text)
	}
	repeat("after the erasure")
}

func TestTheHistoryKeepsWhatIsYoungOrNotPurged(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	kept := in(t, s, export.Ready)
	young, old, older := personal(t, s, "1"), personal(t, s, "2"), personal(t, s, "3")
	for id, age := range map[string]string{young.ID: "59 minutes", old.ID: "61 minutes", older.ID: "62 minutes"} {
		db.MustExec(`UPDATE memexport.exports SET purged_at = now() - $2::interval WHERE id = $1`, id, age)
	}
	db.MustExec(`UPDATE memexport.exports SET updated_at = '2020-01-01', created_at = '2020-01-01'`)
	gone := func(id string) bool {
		_, err := s.Find(t.Context(), id)
		return errors.Is(err, export.ErrNotFound)
	}
	for _, step := range []struct {
		deleted   int
		old, last bool
	}{{1, false, true}, {1, true, true}, {0, true, true}} {
		n, err := s.DeleteHistory(t.Context(), time.Hour, 1)
		if n != step.deleted || err != nil || gone(old.ID) != step.old || gone(older.ID) != step.last || gone(young.ID) || gone(kept.ID) {
			t.Fatalf("%d rows were deleted, %v; gone: %v %v %v %v", n, err, gone(old.ID), gone(older.ID), gone(young.ID), gone(kept.ID))
		}
	}
}

func TestAKeyStaysUntilTheExportThatItCreatesIsStored(t *testing.T) {
	s, db := open(t)
	newKey := func() string {
		t.Helper()
		var id string
		err := db.Get(&id, `INSERT INTO memexport.api_keys (id, workspace_id, name, display, hash, permissions)
			VALUES (gen_random_uuid(), $1, 'a key', '', sha256($2), '{export.write}') RETURNING id`, tenant, []byte(uuid.NewString()))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	key, gone := newKey(), newKey()
	db.MustExec(`DELETE FROM memexport.api_keys WHERE id = $1`, gone)
	for what, e := range map[string]export.Export{
		"a deleted key":                            {WorkspaceID: tenant, Format: "json", CreatedBy: gone},
		"a key of another workspace":               {WorkspaceID: stranger, Format: "json", CreatedBy: key},
		"a deleted key, and a new Idempotency-Key": {WorkspaceID: tenant, Format: "json", CreatedBy: gone, IdempotencyKey: new(string)},
	} {
		if _, err := s.Create(t.Context(), e); !errors.Is(err, export.ErrCreatorGone) {
			t.Errorf("%s: %v", what, err)
		}
	}

	// The deletion of the key waits until Create has stored the export, or comes first.
	var group sync.WaitGroup
	for range 20 {
		key := newKey()
		var created export.Export
		var err error
		var left int
		group.Go(func() {
			created, err = s.Create(t.Context(), export.Export{WorkspaceID: tenant, Format: "json", CreatedBy: key})
		})
		group.Go(func() {
			db.MustExec(`DELETE FROM memexport.api_keys WHERE id = $1`, key)
			if err := db.Get(&left, `SELECT count(*) FROM memexport.exports WHERE created_by = $1`, key); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if (err == nil) != (left == 1) || err != nil && !errors.Is(err, export.ErrCreatorGone) {
			t.Errorf("Create returns %q, %v; after the deletion of its key there were %d exports", created.ID, err, left)
		}
	}
}
