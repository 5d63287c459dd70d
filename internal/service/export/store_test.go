package export_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// filter returns a filter with every condition set, to values that a round trip through JSON could
// change.
func filter() memory.Filter {
	user, agent, session, priority := `quo"te\ <&> '`, "好😀\u2028", "\n\t", memory.High
	after := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 5*3600+45*60))
	before := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	return memory.Filter{UserID: &user, AgentID: &agent, SessionID: &session, Priority: &priority, Categories: []string{"a b", "", "a"}, CreatedAfter: &after, CreatedBefore: &before}
}

func TestAnExportIsStoredAsItWasCreated(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	key := "key"
	for _, asked := range []export.Export{
		{WorkspaceID: tenant, Format: "csv", Filter: filter(), IdempotencyKey: &key},
		{WorkspaceID: stranger, Format: "markdown"},
	} {
		created, err := s.Create(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), asked.WorkspaceID, created.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Get", got, created)
		equal(t, "Find", find(t, s, created.ID), created)
		if age := time.Since(got.CreatedAt); age < -time.Minute || age > time.Minute || got.CreatedAt.Location() != time.UTC || got.UpdatedAt != got.CreatedAt {
			t.Errorf("created at %v, updated at %v", got.CreatedAt, got.UpdatedAt)
		}
		equal(t, "the workspace", got.Query().WorkspaceID, asked.WorkspaceID)
		equal(t, "the set conditions", got.Filter.Names(), asked.Filter.Names())
		if f := asked.Filter; f.UserID != nil {
			equal(t, "the filter", []any{*got.Filter.UserID, *got.Filter.AgentID, *got.Filter.SessionID, *got.Filter.Priority, got.Filter.Categories},
				[]any{*f.UserID, *f.AgentID, *f.SessionID, *f.Priority, f.Categories})
			if !got.Filter.CreatedAfter.Equal(*f.CreatedAfter) || !got.Filter.CreatedBefore.Equal(*f.CreatedBefore) {
				t.Errorf("the window is %v to %v", got.Filter.CreatedAfter, got.Filter.CreatedBefore)
			}
		}
		asked.ID, asked.CreatedAt, asked.UpdatedAt, asked.Filter = got.ID, got.CreatedAt, got.UpdatedAt, got.Filter
		asked.Status, asked.StoredStatus, asked.DispatchedAt = export.Pending, export.Pending, got.DispatchedAt
		if got.DispatchedAt == nil {
			t.Error("without limits it has no place to run")
		}
		asked.IdempotencyKey = nil // it is not stored, see TestAnIdempotencyKeyIsStoredAsADigest
		equal(t, "the export", got, asked)
	}
}

func TestAnIdempotencyKeyNamesOneExport(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	key, otherKey := "nightly", "Nightly"
	asked := export.Export{WorkspaceID: tenant, Format: "json", Filter: filter(), IdempotencyKey: &key}
	first, err := s.Create(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	again := func(change func(*export.Export)) (export.Export, error) {
		e := asked
		e.Filter = filter()
		change(&e)
		return s.Create(t.Context(), e)
	}
	same, err := again(func(*export.Export) {})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the same request", same, first)
	for what, change := range map[string]func(*export.Export){
		"format": func(e *export.Export) { e.Format = "csv" }, "user": func(e *export.Export) { *e.Filter.UserID = "x" },
		"no session": func(e *export.Export) { e.Filter.SessionID = nil }, "categories": func(e *export.Export) { e.Filter.Categories = []string{"a"} },
		"window": func(e *export.Export) { t := e.Filter.CreatedAfter.Add(1); e.Filter.CreatedAfter = &t },
	} {
		if _, err := again(change); !errors.Is(err, export.ErrKeyReused) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	for what, change := range map[string]func(*export.Export){
		"workspace": func(e *export.Export) { e.WorkspaceID = stranger }, "key": func(e *export.Export) { e.IdempotencyKey = &otherKey },
		"key at all": func(e *export.Export) { e.IdempotencyKey = nil },
	} {
		if other, err := again(change); err != nil || other.ID == first.ID {
			t.Errorf("another %s did not make another export: %v, %v", what, other.ID, err)
		}
	}
	if err := s.Fail(t.Context(), first.ID, export.Failures[export.CodeInternal]); err != nil {
		t.Fatal(err)
	}
	if same, err = again(func(*export.Export) {}); err != nil || same.ID != first.ID || same.Status != export.Failed {
		t.Errorf("after a failure: %+v, %v", same, err)
	}
	if err := s.Delete(t.Context(), tenant, first.ID); err != nil {
		t.Fatal(err)
	}
	if next, err := again(func(e *export.Export) { e.Format = "csv" }); err != nil || next.ID == first.ID {
		t.Errorf("the key is not free after its export was deleted: %v, %v", next.ID, err)
	}
}

func TestConcurrentRequestsWithOneKeyMakeOneExport(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	key := "key"
	ids := make([]string, 20)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			e, err := s.Create(context.Background(), export.Export{WorkspaceID: tenant, Format: "json", Filter: filter(), IdempotencyKey: &key})
			if err != nil {
				t.Error(err)
			}
			ids[i] = e.ID
		})
	}
	group.Wait()
	var rows int
	if err := db.Get(&rows, `SELECT count(*) FROM memexport.exports`); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || len(slices.Compact(ids)) != 1 {
		t.Errorf("%d rows: %v", rows, ids)
	}
}

func TestAWorkspaceSeesOnlyItsOwnExports(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, status := range export.Statuses {
		e := in(t, s, status)
		before := row(t, db, e.ID)
		for _, workspace := range []string{stranger, uuid.Nil.String()} {
			if _, err := s.Get(t.Context(), workspace, e.ID); !errors.Is(err, export.ErrNotFound) {
				t.Errorf("Get: %v", err)
			}
			if err := s.Delete(t.Context(), workspace, e.ID); !errors.Is(err, export.ErrNotFound) {
				t.Errorf("Delete: %v", err)
			}
			if list, total, err := s.List(t.Context(), workspace, 1, 100); err != nil || total != 0 || len(list) != 0 {
				t.Errorf("List: %v, %d, %v", list, total, err)
			}
		}
		equal(t, "the row", row(t, db, e.ID), before)
	}
}

func TestAnIDThatIsNotAUUIDIsNotFound(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	for _, id := range []string{"", "x", uuid.NewString(), e.ID + " ", e.ID[:35], "urn:uuid:" + e.ID, "{" + e.ID + "}", "' OR true --", e.ID + "\x00"} {
		if _, err := s.Get(t.Context(), tenant, id); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
		if _, err := s.Find(t.Context(), id); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("Find(%q): %v", id, err)
		}
		if err := s.Delete(t.Context(), tenant, id); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("Delete(%q): %v", id, err)
		}
	}
}

func TestADeletedExportIsHiddenFromItsOwner(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, status := range export.Statuses {
		e := in(t, s, status)
		if err := s.Delete(t.Context(), tenant, e.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), tenant, e.ID); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
		if err := s.Delete(t.Context(), tenant, e.ID); !errors.Is(err, export.ErrNotFound) {
			t.Errorf("a second Delete: %v", err)
		}
		if list, total, err := s.List(t.Context(), tenant, 1, 10); err != nil || total != 0 || len(list) != 0 {
			t.Errorf("List: %v, %d, %v", list, total, err)
		}
		if deleted := find(t, s, e.ID); deleted.DeletedAt == nil || deleted.Status != status {
			t.Errorf("Find: %+v", deleted)
		}
	}
}

func TestTheListIsNewestFirstAndPaged(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	var want []string
	for range 7 {
		want = append(want, create(t, s).ID)
	}
	slices.Reverse(want)
	check := func(what string) {
		t.Helper()
		for size := 1; size <= 8; size++ {
			var got []string
			for page := 1; page <= 9; page++ {
				list, total, err := s.List(t.Context(), tenant, page, size)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "the total", total, 7)
				equal(t, fmt.Sprintf("the length of page %d by %d", page, size), len(list), max(0, min(size, 7-(page-1)*size)))
				for _, e := range list {
					got = append(got, e.ID)
				}
			}
			equal(t, what, got, want)
		}
	}
	check("the list")
	db.MustExec(`UPDATE memexport.exports SET created_at = '2026-01-01'`)
	check("the list of one instant")
	if list, total, err := s.List(t.Context(), tenant, math.MaxInt32, 100); err != nil || total != 7 || len(list) != 0 {
		t.Errorf("a page beyond the end: %v, %d, %v", list, total, err)
	}
}
