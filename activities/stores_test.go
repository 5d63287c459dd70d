//go:build stores

package activities_test

import (
	"net/http"
	"testing"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/format"
	"memexport/internal/workshop/storetest"
)

// TestStores runs Compose on S3 stores, because other stores cannot join parts.
func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	t.Run("s3", func(t *testing.T) {
		t.Run("compose_and_purge", func(t *testing.T) { composesAndPurges(t, storetest.New(t, "s3")) })
		t.Run("compose_refused", func(t *testing.T) { publishesInParts(t, storetest.New(t, "s3")) })
	})
}

// composesAndPurges runs all activities on exports with two ranges. Each range ends with a small part.
func composesAndPurges(t *testing.T, store *storetest.Store) {
	h := newHarness(t)
	h.open(store.URL(), archive.Options{Compose: true})
	h.insert(text(7*mebibyte), "small", text(6*mebibyte), text(1000), text(9*mebibyte), "last")
	for _, f := range format.All {
		id := h.create(f)
		ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
		if err != nil {
			t.Fatal(err)
		}
		plan := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
		if !plan.Compose {
			t.Errorf("the plan is %+v", plan)
		}
		in := h.written(id, activities.PlanResult{Ranges: ranges})
		in.Composed = must[archive.Composed](h, h.Compose, h.ref(id))
		must[activities.PublishResult](h, h.Publish, in)
		got, err := store.Open(t).ReadAll(t.Context(), *h.find(id).FileObject)
		if err != nil || string(got) != h.encoded(id, f) {
			t.Errorf("%s: the object has %d bytes: %v", f.Name, len(got), err)
		}
		must[any](h, h.Expire, h.ref(id))
		must[any](h, h.Purge, h.ref(id))
		if left, uploads := store.Objects(t), store.Uploads(t); len(left)+len(uploads) != 0 {
			t.Errorf("the objects %v and uploads %v are left", left, uploads)
		}
	}
}

// publishesInParts checks that an export becomes READY even if the store refuses to join its parts.
func publishesInParts(t *testing.T, store *storetest.Store) {
	h := newHarness(t)
	faults := store.NewFaults(t)
	faults.Set(func(r *http.Request) storetest.Fault {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			return storetest.Fault{Status: http.StatusBadRequest, Code: "InvalidPart"}
		}
		return storetest.Fault{}
	})
	h.open(faults.URL(), archive.Options{Compose: true})
	h.insert(text(7*mebibyte), text(6*mebibyte), "last")
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	if in.Composed = must[archive.Composed](h, h.Compose, h.ref(id)); in.Composed.Object != "" {
		t.Errorf("composed is %+v", in.Composed)
	}
	must[activities.PublishResult](h, h.Publish, in)
	h.wantFile(id, format.JSON)
	if uploads := store.Uploads(t); len(uploads) != 0 {
		t.Errorf("the uploads %v are left", uploads)
	}
}
