package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"memexport/internal/service/audit"
	"memexport/internal/service/export"
)

func TestSweepDeletesOldAuditEvents(t *testing.T) {
	f := newFixture(t)
	f.exec(`INSERT INTO memexport.audit (at, action, workspace_id, address, request_id)
		SELECT now() - n * interval '1 day', 'export.read', $1, '', n FROM generate_series(1, 3) n`, workspaceID)
	f.activities.Audit = audit.NewStore(f.db)
	left := func() (n int) {
		t.Helper()
		if err := f.db.Get(&n, `SELECT count(*) FROM memexport.audit`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	f.sweep()
	if n := left(); n != 3 {
		t.Errorf("without a retention %d events are left", n)
	}
	f.activities.AuditRetention = 36 * time.Hour
	f.sweep()
	if n := left(); n != 1 {
		t.Errorf("%d events are left, want 1", n)
	}
}

func TestSweepDeletesRowsAfterTheHistory(t *testing.T) {
	f := newFixture(t)
	old, young, live := f.purged(), f.purged(), f.published()
	f.exec(`UPDATE memexport.exports SET purged_at = now() - interval '91 days', filter = '{"user_id": "anna"}' WHERE id = $1`, old)
	f.exec(`UPDATE memexport.exports SET purged_at = now() - interval '89 days' WHERE id = $1`, young)
	gone := func(id string) bool {
		_, err := f.exports.Find(t.Context(), id)
		return errors.Is(err, export.ErrNotFound)
	}
	f.sweep()
	if gone(old) {
		t.Error("a row was deleted though the history has no end")
	}
	if e := f.find(old); len(e.Filter.Names()) != 0 {
		t.Errorf("the filter is %+v", e.Filter)
	}
	f.activities.History = 90 * 24 * time.Hour
	f.sweep()
	if !gone(old) || gone(young) || gone(live) {
		t.Errorf("gone: %v, %v, %v", gone(old), gone(young), gone(live))
	}
	f.wantWhole(live)
}
