//go:build stores

package activities_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/format"
	"memexport/internal/workshop/storetest"
)

// TestStores lets the activities that clean up loose on every store.
func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	for _, name := range storetest.Names {
		t.Run(name, func(t *testing.T) {
			t.Run("sweep_of_orphans", func(t *testing.T) { sweepsOrphans(t, storetest.New(t, name)) })
			if name == "s3" {
				t.Run("compose_and_purge", func(t *testing.T) { composesAndPurges(t, storetest.New(t, name)) })
			}
		})
	}
}

// composesAndPurges takes an export of several ranges, whose last parts are small, through the
// activities.
func composesAndPurges(t *testing.T, store *storetest.Store) {
	h := newHouse(t)
	h.open(store.URL(), archive.Options{Compose: true})
	h.insert(text(7*mebibyte), "small", text(6*mebibyte), text(1000), text(9*mebibyte), "last")
	for _, f := range format.All {
		id := h.create(f)
		ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
		if err != nil {
			t.Fatal(err)
		}
		plan := must[activities.PlanResult](h, h.Plan, h.ref(id))
		if !plan.Compose {
			t.Errorf("the plan is %+v", plan)
		}
		in := h.written(id, activities.PlanResult{Ranges: ranges})
		in.Composed = must[archive.Composed](h, h.Compose, h.ref(id))
		must[activities.PublishResult](h, h.Publish, in)
		got, err := store.Open(t).ReadAll(t.Context(), *h.find(id).FileObject)
		if err != nil || string(got) != h.encoded(f) {
			t.Errorf("%s: the object has %d bytes: %v", f.Name, len(got), err)
		}
		must[any](h, h.Expire, h.ref(id))
		must[any](h, h.Purge, h.ref(id))
		if left, uploads := store.Objects(t), store.Uploads(t); len(left)+len(uploads) != 0 {
			t.Errorf("left are %v, %v", left, uploads)
		}
	}
}

func sweepsOrphans(t *testing.T, store *storetest.Store) {
	activities.SetPartSize(t, 8<<10)
	h := newHouse(t)
	h.open(store.URL(), archive.Options{})
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
