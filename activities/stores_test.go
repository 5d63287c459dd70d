//go:build stores

package activities_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"memexport/activities"
	"memexport/internal/archive"
	"memexport/internal/archive/storetest"
	"memexport/internal/format"
)

// TestStores lets the activities that clean up loose on every store.
func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	for _, name := range storetest.Names {
		t.Run(name, func(t *testing.T) {
			t.Run("sweep_of_orphans", func(t *testing.T) { sweepsOrphans(t, storetest.New(t, name)) })
		})
	}
}

func sweepsOrphans(t *testing.T, store *storetest.Store) {
	activities.SetPartSize(t, 8<<10)
	h := newHouse(t)
	var err error
	if h.Archive, err = archive.Open(t.Context(), store.URL()); err != nil {
		t.Fatal(err)
	}
	defer h.Archive.Close()
	h.fill(200)
	live, purged := h.published(format.JSON), h.published(format.CSV)
	running := h.oneRange(format.Markdown)
	must[any](h, h.Expire, h.ref(purged))
	must[any](h, h.Purge, h.ref(purged))
	unknown := uuid.NewString()
	for _, id := range []string{live, purged, running.ExportID, unknown} {
		if _, err := h.Archive.Put(t.Context(), id, 9, 9, []byte("late")); err != nil {
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
	if swept := h.sweep(); swept != 0 {
		t.Errorf("of %d exports young objects were swept", swept)
	}
	activities.SetOrphanAge(t, 0)
	if swept := h.sweep(); swept != 2 {
		t.Errorf("%d exports were swept, not 2", swept)
	}
	if left(purged) != 0 || left(unknown) != 0 || left(running.ExportID) != 1 || left(live) < 3 {
		t.Errorf("left are %v", store.Objects(t))
	}
	h.wantFile(live, format.JSON)
}
