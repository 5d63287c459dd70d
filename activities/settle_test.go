package activities_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

func (h *harness) fail(id, code string) {
	h.Helper()
	must[any](h, h.Fail, activities.FailInput{ExportID: id, Code: code})
}

// objects counts the objects of an export in the bucket.
func (h *harness) objects(id string) int {
	h.Helper()
	entries, err := os.ReadDir(filepath.Join(h.dir, "exports", id))
	if err != nil && !os.IsNotExist(err) {
		h.Fatal(err)
	}
	return len(entries)
}

func TestTheFirstFailureIsKept(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, _ := h.started(format.JSON)
	for _, code := range []string{export.CodeStorageDenied, export.CodeCancelled, export.CodeInternal} {
		h.fail(id, code)
	}
	e := h.find(id)
	if e.Status != export.Failed || *e.Failure != export.Failures[export.CodeStorageDenied] {
		t.Errorf("the export is %s with %+v", e.Status, e.Failure)
	}
}

func TestAnUnknownCodeBecomesInternal(t *testing.T) {
	h := newHarness(t)
	id := h.create(format.JSON)
	h.fail(id, "NEWER_THAN_THIS_PROGRAM")
	if e := h.find(id); e.Failure.Code != export.CodeInternal {
		t.Errorf("the failure is %+v", e.Failure)
	}
}

func TestFailKeepsAReadyExportOnRequest(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	in := activities.FailInput{Code: export.CodeTerminated, KeepReady: true}
	for want, start := range map[export.Status]func() string{
		export.Ready:  func() string { return h.published(format.JSON) },
		export.Failed: func() string { id, _ := h.started(format.JSON); return id },
	} {
		in.ExportID = start()
		if settled := must[activities.Settled](h, h.Fail, in); settled.Status != want {
			t.Errorf("Fail returned %+v, want %s", settled, want)
		}
		h.wantStatus(in.ExportID, want)
	}
}

// The workflow deletes the objects after Fail, so the export must not stay READY.
func TestFailExpiresAReadyExport(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	for code := range export.Failures {
		id := h.published(format.JSON)
		h.fail(id, code)
		h.wantStatus(id, export.Expired)
		if e := h.find(id); e.Failure != nil {
			t.Errorf("%s: the failure is %+v", code, e.Failure)
		}
	}
}

// A fail-over of Postgres can lose the commit of Publish. The workflow does not learn of that, and sleeps until the
// export expires.
func TestExpireFailsAnExportWhoseReadyStatusIsLost(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, plan := h.started(format.JSON)
	h.written(id, plan)
	var ended []string
	h.Ended = func(_ context.Context, workspace string) { ended = append(ended, workspace) }
	for range 2 {
		expired := must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
		if time.Since(expired.PurgeAt) > time.Minute || time.Until(expired.PurgeAt) > 0 {
			t.Errorf("the objects are deleted at %v", expired.PurgeAt)
		}
		if e := h.find(id); e.Status != export.Failed || e.Failure.Code != export.CodeInternal || !expired.Failed {
			t.Errorf("the export is %s with %+v, and Expire returns %+v", e.Status, e.Failure, expired)
		}
	}
	if len(ended) == 0 || ended[0] != workspaceID {
		t.Errorf("the place was freed for %v", ended)
	}
}

func TestExpireKeepsTheObjectsForTheGracePeriod(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id := h.published(format.JSON)
	expired := must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	h.wantStatus(id, export.Expired)
	if left := time.Until(expired.PurgeAt); left > h.Grace || left < h.Grace-time.Minute {
		t.Errorf("the grace period is %v", left)
	}
	if h.objects(id) == 0 {
		t.Error("the objects were deleted before the grace period was over")
	}
	if again := must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id}); !again.PurgeAt.Equal(expired.PurgeAt) {
		t.Errorf("the second attempt returned %v, want %v", again.PurgeAt, expired.PurgeAt)
	}
}

// The timer of a workflow follows the clock of Temporal, which may be ahead of the clock of Postgres.
func TestExpireLeavesAnExportReadyIfItsTimerHasFiredTooEarly(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id := h.published(format.JSON)
	due := activities.ExpireInput{ExportID: id, Due: true}
	before := h.find(id)
	early := must[activities.ExpireResult](h, h.Expire, due)
	if after := h.find(id); !reflect.DeepEqual(after, before) {
		t.Errorf("the export is %+v after %+v", after, before)
	}
	// A worker with older code ignores Left. Then the objects must stay until they would be deleted anyway.
	if !early.ExpiresAt.Equal(*before.ExpiresAt) || !early.PurgeAt.Equal(before.ExpiresAt.Add(h.Grace)) || early.Left <= h.Retention-time.Minute || early.Left > h.Retention {
		t.Errorf("Expire returns %+v", early)
	}
	h.exec(`UPDATE memexport.exports SET expires_at = now()`)
	if again := must[activities.ExpireResult](h, h.Expire, due); again.Left != 0 {
		t.Errorf("after the expiry, Expire returns %+v", again)
	}
	if e := h.find(id); e.StoredStatus != export.Expired {
		t.Errorf("the stored status is %s", e.StoredStatus)
	}
}

func TestPurgeDeletesEveryObjectIncludingOrphans(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, other := h.published(format.JSON), h.published(format.JSON)
	if _, err := h.Archive.Put(t.Context(), id, 7, 7, []byte("of a late attempt")); err != nil {
		t.Fatal(err)
	}
	must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
	must[any](h, h.Purge, h.ref(id))
	if n := h.objects(id); n != 0 || len(h.parts(id)) != 0 {
		t.Errorf("%d objects and %d parts are left", n, len(h.parts(id)))
	}
	if e := h.find(id); e.PurgedAt == nil {
		t.Error("the purge is not recorded")
	}
	h.wantFile(other, format.JSON)
}

func TestFailExpireAndPurgeWorkInAnyOrderAndTwice(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	for name, ready := range map[string]bool{"a PROCESSING export": false, "a READY export": true} {
		for _, order := range [][]string{
			{"Fail", "Expire", "Purge"}, {"Fail", "Purge", "Expire"}, {"Expire", "Fail", "Purge"},
			{"Expire", "Purge", "Fail"}, {"Purge", "Fail", "Expire"}, {"Purge", "Expire", "Fail"},
		} {
			id, plan := h.started(format.JSON)
			if in := h.written(id, plan); ready {
				must[any](h, h.Publish, in)
			}
			want := export.Failed
			if ready {
				want = export.Expired
			}
			var purged *time.Time
			for range 2 {
				for _, step := range order {
					switch step {
					case "Fail":
						h.fail(id, export.CodeCancelled)
					case "Expire":
						must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
					case "Purge":
						must[any](h, h.Purge, h.ref(id))
					}
				}
				h.wantStatus(id, want)
				e := h.find(id)
				if n := h.objects(id); n != 0 || e.PurgedAt == nil {
					t.Errorf("%s, %v: %d objects are left, purged at %v", name, order, n, e.PurgedAt)
				}
				if purged != nil && !reflect.DeepEqual(purged, e.PurgedAt) {
					t.Errorf("%s, %v: it was purged at %v and then at %v", name, order, purged, e.PurgedAt)
				}
				purged = e.PurgedAt
			}
		}
	}
}

func TestADeleteThatTheStoreRefusesIsRetried(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id := h.published(format.JSON)
	objects := filepath.Join(h.dir, "exports", id)
	part := filepath.Join(h.dir, filepath.FromSlash(h.parts(id)[0].Object))
	// Create a directory that is not empty in place of an object. Deleting objects does not delete such a
	// directory, not even as root.
	if err := os.MkdirAll(filepath.Join(objects, "000-000009-x", "y"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := do[any](h, h.Purge, h.ref(id))
	wantRetryable(t, err, attempt.TypeStorageUnavailable)
	if e := h.find(id); e.PurgedAt != nil {
		t.Error("a purge that failed is recorded")
	}
	if err := os.RemoveAll(filepath.Join(objects, "000-000009-x")); err != nil {
		t.Fatal(err)
	}
	must[any](h, h.Purge, h.ref(id))
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Error("the part is still there:", err)
	}
}
