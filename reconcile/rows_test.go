package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"memexport/internal/service/export"
)

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
