package export_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

// createIn makes a PENDING export of a workspace.
func createIn(t *testing.T, s *export.Store, workspaceID string) export.Export {
	t.Helper()
	e, err := s.Create(t.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// createN makes exports of the workspace tenant and returns their ids.
func createN(t *testing.T, s *export.Store, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, create(t, s).ID)
	}
	return ids
}

func claim(t *testing.T, s *export.Store, workspaceID string) []string {
	t.Helper()
	claimed, err := s.Claim(t.Context(), workspaceID)
	if err != nil {
		t.Fatal(err)
	}
	return idsOf(claimed)
}

func idsOf(exports []export.Export) (ids []string) {
	for _, e := range exports {
		ids = append(ids, e.ID)
	}
	return ids
}

func fail(t *testing.T, s *export.Store, id string) {
	t.Helper()
	if err := s.Fail(t.Context(), id, export.Failures[export.CodeInternal]); err != nil {
		t.Fatal(err)
	}
}

// dispatched returns the ids of a workspace's exports that have a place to run, in the order of their
// creation.
func dispatched(t *testing.T, db *sqlx.DB, workspaceID string) (ids []string) {
	t.Helper()
	err := db.Select(&ids, `SELECT id FROM memexport.exports WHERE workspace_id = $1 AND dispatched_at IS NOT NULL
		AND status IN ('PENDING', 'PROCESSING') ORDER BY created_at, id`, workspaceID)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestExportsWithoutAPlaceWaitInTheOrderOfTheirCreation(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	s = s.WithLimits(export.Limits{Running: 2})
	ids := createN(t, s, 6)
	equal(t, "the exports with a place", dispatched(t, db, tenant), ids[:2])
	for i, id := range ids {
		if e := find(t, s, id); e.Status != export.Pending || (e.DispatchedAt != nil) != (i < 2) {
			t.Errorf("export %d: %s, dispatched at %v", i, e.Status, e.DispatchedAt)
		}
	}
	equal(t, "what is claimed while all places are taken", claim(t, s, tenant), []string(nil))
	fail(t, s, ids[1])
	equal(t, "what is claimed after the second has ended", claim(t, s, tenant), ids[2:3])
	if _, err := s.Start(t.Context(), ids[2], plan); err != nil {
		t.Fatal(err)
	}
	equal(t, "what is claimed while one is PROCESSING", claim(t, s, tenant), []string(nil))
	fail(t, s, ids[0])
	fail(t, s, ids[2])
	newest := create(t, s)
	if newest.DispatchedAt != nil {
		t.Error("a new export has overtaken those that wait")
	}
	equal(t, "what is claimed after two have ended", claim(t, s, tenant), ids[3:5])
	fail(t, s, ids[3])
	fail(t, s, ids[4])
	equal(t, "what is claimed at the end", claim(t, s, tenant), []string{ids[5], newest.ID})
}

func TestAWorkspacesQueueIsNobodyElses(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	s = s.WithLimits(export.Limits{Running: 1, Unfinished: 3})
	ids := createN(t, s, 3)
	if other := createIn(t, s, stranger); other.DispatchedAt == nil {
		t.Error("the first export of another workspace waits")
	}
	equal(t, "what is claimed for the other workspace", claim(t, s, stranger), []string(nil))
	fail(t, s, ids[0])
	equal(t, "what is claimed for the other workspace", claim(t, s, stranger), []string(nil))
	equal(t, "the exports with a place", dispatched(t, db, tenant), []string(nil))
	createIn(t, s, stranger)
	db.MustExec(`UPDATE memexport.exports SET created_at = created_at - interval '1 hour' WHERE workspace_id = $1`, stranger)
	waiting, err := s.WorkspacesWaiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the workspaces that wait", waiting, []string{stranger, tenant})
}

func TestWorkspacesTakeTurnsForThePlacesThatTheyShare(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	s = s.WithLimits(export.Limits{Running: 2, AllRunning: 3})
	many := createN(t, s, 5)
	few := []string{createIn(t, s, stranger).ID, createIn(t, s, stranger).ID}
	equal(t, "the first workspace's exports with a place", dispatched(t, db, tenant), many[:2])
	equal(t, "the other's", dispatched(t, db, stranger), few[:1])

	turn := func(want string) {
		t.Helper()
		got, err := s.NextTurn(t.Context())
		if err != nil || got != want {
			t.Errorf("the turn is %q, %v, want %q", got, err, want)
		}
	}
	turn("")
	equal(t, "what is claimed while all places are taken", claim(t, s, stranger), []string(nil))
	fail(t, s, few[0])
	turn(stranger)
	equal(t, "what is claimed", claim(t, s, stranger), few[1:])
	fail(t, s, many[0])
	fail(t, s, many[1])
	turn(tenant)
	equal(t, "what is claimed at a time", claim(t, s, tenant), many[2:3])
	equal(t, "what is claimed then", claim(t, s, tenant), many[3:4])
	fail(t, s, few[1])
	turn("") // a place is free, but the only workspace that waits already runs as many exports as it may
	equal(t, "what is claimed beyond its own limit", claim(t, s, tenant), []string(nil))
}

func TestTwoStoresGiveAwayNoMorePlacesThanThereAre(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	limits := export.Limits{Running: 3}
	stores := []*export.Store{s.WithLimits(limits), s.WithLimits(limits)}
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			if _, err := stores[i%2].Create(context.Background(), export.Export{WorkspaceID: tenant, Format: "json"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	running := dispatched(t, db, tenant)
	if len(running) != 3 {
		t.Fatalf("%d exports have a place, want 3", len(running))
	}
	fail(t, s, running[0])
	fail(t, s, running[1])
	var mu sync.Mutex
	var claimed []string
	for i := range 10 {
		group.Go(func() {
			got, err := stores[i%2].Claim(context.Background(), tenant)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			claimed = append(claimed, idsOf(got)...)
		})
	}
	group.Wait()
	now := dispatched(t, db, tenant)
	if len(now) != 3 || len(claimed) != 2 || !slices.Contains(now, running[2]) {
		t.Errorf("%d exports have a place, and %d were claimed", len(now), len(claimed))
	}
}

func TestADeletedExportThatWaitsIsNeverClaimed(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	s = s.WithLimits(export.Limits{Running: 1, Unfinished: 3})
	ids := createN(t, s, 3)
	for _, id := range ids[:2] {
		if err := s.Delete(t.Context(), tenant, id); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "what is claimed while the deleted export has its place", claim(t, s, tenant), []string(nil))
	create(t, s) // allowed: the deleted export no longer counts as waiting
	fail(t, s, ids[0])
	equal(t, "what is claimed after its end", claim(t, s, tenant), ids[2:3])
}

func TestAnExportThatWaitsIsNotOverdueUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	s = s.WithLimits(export.Limits{Running: 1})
	ids := createN(t, s, 3)
	db.MustExec(`UPDATE memexport.exports SET updated_at = now() - interval '1 day'`)
	overdue := func(want ...string) {
		t.Helper()
		list, err := s.Overdue(t.Context(), time.Hour, time.Hour, uuid.Nil.String(), 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the overdue exports", idsOf(list), want)
	}
	overdue(ids[0])
	db.MustExec(`UPDATE memexport.exports SET deleted_at = now() - interval '2 hours', updated_at = now() WHERE id = $1`, ids[1])
	overdue(ids[0], ids[1])
}

func TestWithoutALimitEverythingThatWaitsIsClaimed(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ids := createN(t, s.WithLimits(export.Limits{Running: 1}), 4)
	equal(t, "what is claimed", claim(t, s, tenant), ids[1:])
}

func TestARowOfAnOlderProcessHasAPlace(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	s = s.WithLimits(export.Limits{Running: 1})
	db.MustExec(`INSERT INTO memexport.exports (id, workspace_id, format, filter) VALUES (gen_random_uuid(), $1, 'json', '{}')`, tenant)
	if e := create(t, s); e.DispatchedAt != nil {
		t.Error("the older process's export does not count")
	}
	equal(t, "what is claimed", claim(t, s, tenant), []string(nil))
}

// At a higher level than READ COMMITTED, a request that has waited for its workspace would not see what the requests
// before it have created.
func TestTheLimitsAndTheIdempotencyKeyHoldAtEveryDefaultIsolation(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	admin := pgtest.OpenURL(t, url, 2)
	var name string
	if err := admin.Get(&name, `SELECT current_database()`); err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"repeatable read", "serializable"} {
		admin.MustExec(`ALTER DATABASE "` + name + `" SET default_transaction_isolation = '` + level + `'`)
		for _, key := range []*string{nil, new("key")} {
			admin.MustExec(`DELETE FROM memexport.exports`)
			lock := admin.MustBegin()
			lock.MustExec(`SELECT pg_advisory_xact_lock(1835363448, hashtext($1))`, tenant) // as transactFor
			var group sync.WaitGroup
			for range 3 {
				s := export.NewStore(pgtest.OpenURL(t, url, 2)).WithLimits(export.Limits{Running: 1})
				group.Go(func() {
					if _, err := s.Create(context.Background(), export.Export{WorkspaceID: tenant, Format: "json", IdempotencyKey: key}); err != nil {
						t.Errorf("%s, with a key %t: %v", level, key != nil, err)
					}
				})
			}
			await.True(t, 30*time.Second, "three requests wait", func() bool {
				var waiting int
				err := admin.Get(&waiting, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
				return err == nil && waiting == 3
			})
			if err := lock.Commit(); err != nil {
				t.Fatal(err)
			}
			group.Wait()
			if n := len(dispatched(t, admin, tenant)); n != 1 {
				t.Errorf("%s, with a key %t: %d exports have a place, want 1", level, key != nil, n)
			}
			var all int
			if err := admin.Get(&all, `SELECT count(*) FROM memexport.exports`); err != nil || (all == 1) != (key != nil) {
				t.Errorf("%s, with a key %t: there are %d exports: %v", level, key != nil, all, err)
			}
		}
	}
}
