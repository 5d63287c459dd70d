//go:build stores

package activities_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/workshop/storetest"
)

// TestStores runs activities on S3 stores. Other stores cannot join parts, which Compose needs.
func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	t.Run("s3", func(t *testing.T) {
		t.Run("compose_and_purge", func(t *testing.T) { composesAndPurges(t, storetest.New(t, "s3")) })
		t.Run("parts_at_once", func(t *testing.T) { storesPartsAtOnce(t, storetest.New(t, "s3")) })
		t.Run("a_part_that_fails", func(t *testing.T) { recordsWhatPrecedesAFailedPart(t, storetest.New(t, "s3")) })
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
		must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
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

// storesPartsAtOnce checks that a range has three parts on their way to the store at once, and that they are
// recorded in order even if the first one is stored last.
func storesPartsAtOnce(t *testing.T, store *storetest.Store) {
	h, faults := newRangeOfParts(t, store)
	waiting, release := 0, make(chan struct{})
	faults.Set(func(r *http.Request) storetest.Fault {
		if r.Method != http.MethodPut {
			return storetest.Fault{}
		}
		if waiting++; waiting == 3 {
			close(release)
		}
		if strings.Contains(r.URL.Path, "/000-000000-") {
			return storetest.Fault{Until: release}
		}
		return storetest.Fault{}
	})
	id := h.published(format.JSON)
	h.wantFile(id, format.JSON)
	if parts := h.parts(id); len(parts) < 5 {
		t.Errorf("the export has only %d parts", len(parts))
	}
}

// recordsWhatPrecedesAFailedPart checks that an attempt which fails to store a part has recorded the parts
// before it and none after it, and does not wait for requests that hang.
func recordsWhatPrecedesAFailedPart(t *testing.T, store *storetest.Store) {
	h, faults := newRangeOfParts(t, store)
	never := make(chan struct{})
	defer close(never)
	third := make(chan struct{})
	faults.Set(func(r *http.Request) storetest.Fault {
		switch {
		case r.Method != http.MethodPut:
		case strings.Contains(r.URL.Path, "/000-000001-"): // fails once the third part is on its way
			return storetest.Fault{Status: http.StatusForbidden, Until: third}
		case strings.Contains(r.URL.Path, "/000-000002-"):
			close(third)
			return storetest.Fault{Until: never}
		}
		return storetest.Fault{}
	})
	in := h.oneRange(format.JSON)
	_, err := do[export.Written](h, h.WriteRange, in)
	wantFinal(t, err, attempt.TypeStorageDenied)
	if parts := h.parts(in.ExportID); len(parts) != 1 || parts[0].Number != 0 {
		t.Errorf("recorded are %+v, want the first part only", parts)
	}
	faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	if taken := len(h.Archive.ExtraUploads()); taken != 0 {
		t.Errorf("the attempt still has %d places for uploads", taken)
	}
	must[export.Written](h, h.WriteRange, in)
	h.wantFile(in.ExportID, format.JSON)
}

// newRangeOfParts returns a harness whose bucket is behind a proxy, and whose memories fill some parts.
func newRangeOfParts(t *testing.T, store *storetest.Store) (*harness, *storetest.Faults) {
	h := newHarness(t)
	faults := store.NewFaults(t)
	h.open(faults.URL(), archive.Options{RequestTimeout: 10 * time.Second})
	h.PartSize = 4 << 10
	h.insert(text(4000), text(4100), text(4200), text(4300), text(4400), text(4500))
	return h, faults
}
