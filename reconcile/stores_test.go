//go:build stores

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
	"memexport/internal/workshop/storetest"
)

// TestStores runs Sweep on every kind of store.
func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	for _, name := range storetest.Names {
		t.Run(name, func(t *testing.T) {
			t.Run("sweep_of_orphans", func(t *testing.T) { sweepsOrphans(t, storetest.New(t, name)) })
		})
	}
}

func sweepsOrphans(t *testing.T, store *storetest.Store) {
	f := newFixture(t)
	f.useBucket(store.URL())
	live, purged, running, unknown := f.published(), f.purged(), f.processing(), uuid.NewString()
	for _, id := range []string{live, purged, running, unknown} {
		if _, err := f.archive.Put(t.Context(), id, 9, 9, []byte("late")); err != nil {
			t.Fatal(err)
		}
	}
	left := func(id string) (n int) {
		for key := range store.Objects(t) {
			if strings.Contains(key, id) {
				n++
			}
		}
		return n
	}
	if swept := f.sweep(); swept != 0 {
		t.Errorf("the young objects of %d exports were deleted", swept)
	}
	f.activities.OrphanAge = time.Nanosecond
	if swept := f.sweep(); swept != 2 {
		t.Errorf("the objects of %d exports were deleted, want 2", swept)
	}
	if left(purged) != 0 || left(unknown) != 0 || left(running) != 1 || left(live) != 3 {
		t.Errorf("the store has %v", store.Objects(t))
	}
	f.wantWhole(live)
	f.wantStatus(running, export.Processing)
}
