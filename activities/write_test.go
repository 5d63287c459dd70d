package activities_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

func TestASecondPlanReturnsTheFirst(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	id, first := h.started(format.JSON)
	h.wantStatus(id, export.Processing)
	h.fill(200) // later memories must not become part of the export
	if second := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id}); !reflect.DeepEqual(first, second) {
		t.Errorf("the second plan is %+v, want %+v", second, first)
	}
	if first.Parallel != h.Activities.Parallel || first.Compose {
		t.Errorf("the plan is %+v", first)
	}
}

func TestAPlanWithoutMemoriesHasNoRanges(t *testing.T) {
	h := newHarness(t)
	id, plan := h.started(format.JSON)
	if len(plan.Ranges) != 0 {
		t.Errorf("the plan is %+v", plan)
	}
	must[activities.PublishResult](h, h.Publish, h.written(id, plan))
	h.wantStatus(id, export.Ready)
	h.wantFile(id, format.JSON)
}

func TestAFailedExportIsNotPlanned(t *testing.T) {
	h := newHarness(t)
	id := h.create(format.JSON)
	must[any](h, h.Fail, activities.FailInput{ExportID: id, Code: export.CodeCancelled})
	if plan := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id}); plan.Settled.Code != export.CodeCancelled || len(plan.Ranges) != 0 {
		t.Errorf("the plan is %+v", plan)
	}
	h.wantStatus(id, export.Failed)
}

func TestEveryActivityRejectsAnUnknownExportForGood(t *testing.T) {
	h := newHarness(t)
	id := uuid.NewString()
	for name, run := range map[string]func() error{
		"Plan": func() error { _, err := do[any](h, h.Plan, activities.PlanInput{ExportID: id}); return err },
		"WriteRange": func() error {
			_, err := do[any](h, h.WriteRange, activities.WriteRangeInput{ExportID: id})
			return err
		},
		"Compose": func() error { _, err := do[any](h, h.Compose, h.ref(id)); return err },
		"Verify":  func() error { _, err := do[any](h, h.Verify, activities.VerifyInput{ExportID: id}); return err },
		"Publish": func() error { _, err := do[any](h, h.Publish, activities.PublishInput{ExportID: id}); return err },
		"Fail": func() error {
			_, err := do[any](h, h.Fail, activities.FailInput{ExportID: id, Code: export.CodeInternal})
			return err
		},
		"Expire": func() error { _, err := do[any](h, h.Expire, activities.ExpireInput{ExportID: id}); return err },
	} {
		t.Run(name, func(t *testing.T) { wantFinal(t, run(), attempt.TypeInvalidExport) })
	}
	must[any](h, h.Purge, h.ref(id)) // this export has no objects
}

func TestTheFileHoldsTheMemoriesInOrder(t *testing.T) {
	for _, f := range format.All {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s compress=%v", f.Name, compress), func(t *testing.T) { theFileHoldsTheMemoriesInOrder(t, f, compress) })
		}
	}
}

func theFileHoldsTheMemoriesInOrder(t *testing.T, f *format.Format, compress bool) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.open("file://"+h.dir, archive.Options{Compress: compress})
	h.fill(500)
	id := h.create(f)
	ranges, err := h.Exports.Start(t.Context(), id, h.split(3))
	if err != nil {
		t.Fatal(err)
	}
	result := must[activities.PublishResult](h, h.Publish, h.written(id, activities.PlanResult{Ranges: ranges}))
	h.wantFile(id, f)
	parts := h.parts(id)
	if len(parts) < 6 {
		t.Errorf("there are only %d parts", len(parts))
	}
	for _, p := range parts {
		if compressed := p.CompressedSize > 0; compressed != (compress && !f.Compressed) {
			t.Errorf("a part of %d bytes is compressed to %d", p.Size, p.CompressedSize)
		}
	}
	file := h.file(id, f)
	sum := sha256.Sum256([]byte(file))
	e := h.find(id)
	if e.Status != export.Ready || *e.SHA256 != hex.EncodeToString(sum[:]) || *e.SizeBytes != int64(len(file)) || e.MemoryCount != 500 {
		t.Errorf("published is %+v", e)
	}
	if result.Memories != 500 || result.Bytes != int64(len(file)) || !result.ExpiresAt.Equal(*e.ExpiresAt) {
		t.Errorf("the result is %+v", result)
	}
	if left := time.Until(result.ExpiresAt); left > h.Retention || left < h.Retention-time.Minute {
		t.Errorf("it expires in %v", left)
	}
}

func TestARangeWhoseMemoriesWereDeletedIsEmpty(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	in := h.oneRange(format.CSV)
	h.exec(`DELETE FROM memories`)
	if written := must[export.Written](h, h.WriteRange, in); written != (export.Written{}) {
		t.Errorf("written is %+v", written)
	}
	must[activities.PublishResult](h, h.Publish, activities.PublishInput{ExportID: in.ExportID, Ranges: 1})
	h.wantFile(in.ExportID, format.CSV)
}

// The first part of a range begins with a separator, except in the first range. If all earlier ranges are
// empty, the file begins with such a part, and must still be correct.
func TestTheFirstRangesMayBecomeEmpty(t *testing.T) {
	for _, f := range format.All {
		for gone := range 3 {
			h := newHarness(t)
			h.fill(90)
			id := h.create(f)
			ranges, err := h.Exports.Start(t.Context(), id, h.split(3))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range ranges[:gone] {
				h.exec(`DELETE FROM memories WHERE (created_at, id) <= ($2::timestamptz, $1::uuid)`,
					r.Last.ID, r.Last.CreatedAt.String())
			}
			must[activities.PublishResult](h, h.Publish, h.written(id, activities.PlanResult{Ranges: ranges}))
			h.wantFile(id, f)
			if e := h.find(id); e.MemoryCount != int64(30*(3-gone)) {
				t.Errorf("%s: with %d ranges empty, there are %d memories", f.Name, gone, e.MemoryCount)
			}
		}
	}
}

func TestAResetAfterPublishFindsEverythingDone(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(200)
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	published := must[activities.PublishResult](h, h.Publish, in)
	before, parts := h.find(id), h.parts(id)
	h.fill(300)
	h.exec(`DELETE FROM memories WHERE memory LIKE '%a%'`)

	if again := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id}); again.Settled.Status != export.Ready || !again.Settled.ExpiresAt.Equal(published.ExpiresAt) {
		t.Errorf("the plan is %+v", again)
	}
	write := activities.WriteRangeInput{ExportID: id, Number: 0, Range: plan.Ranges[0].Range}
	if again := must[export.Written](h, h.WriteRange, write); again != in.Written {
		t.Errorf("written is %+v, not %+v", again, in.Written)
	}
	verify := activities.VerifyInput{ExportID: id, Number: 0, Digest: archive.Digest{Parts: 7}}
	if again := must[archive.Digest](h, h.Verify, verify); !reflect.DeepEqual(again, verify.Digest) {
		t.Errorf("the digest is %+v", again)
	}
	if composed := must[archive.Composed](h, h.Compose, h.ref(id)); composed.Object != "" {
		t.Errorf("composed is %+v", composed)
	}
	again := must[activities.PublishResult](h, h.Publish, activities.PublishInput{ExportID: id, Ranges: 1})
	if again.Settled.Status != export.Ready || again.Memories != published.Memories || again.Bytes != published.Bytes || !again.ExpiresAt.Equal(published.ExpiresAt) {
		t.Errorf("published is %+v, not %+v", again, published)
	}
	if after := h.find(id); !reflect.DeepEqual(before, after) || !reflect.DeepEqual(parts, h.parts(id)) {
		t.Errorf("the export was %+v and is %+v", before, after)
	}
}

func TestAResetWhileProcessingKeepsTheRecordedParts(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	in := h.oneRange(format.JSON)
	first := must[export.Written](h, h.WriteRange, in)
	objects := h.parts(in.ExportID)
	if second := must[export.Written](h, h.WriteRange, in); second != first {
		t.Errorf("the second attempt returned %+v, the first %+v", second, first)
	}
	if !reflect.DeepEqual(objects, h.parts(in.ExportID)) {
		t.Error("the parts have changed")
	}
}

func TestARangeHoldsOnlyItsOwnMemories(t *testing.T) {
	h := newHarness(t)
	h.fill(90)
	ranges := h.split(3)
	id := h.create(format.JSON)
	if _, err := h.Exports.Start(t.Context(), id, ranges); err != nil {
		t.Fatal(err)
	}
	in := activities.WriteRangeInput{ExportID: id, Number: 1, Range: ranges[1].Range}
	if written := must[export.Written](h, h.WriteRange, in); written.Memories != 30 {
		t.Errorf("written is %+v", written)
	}
	parts := h.parts(id)
	if last := parts[len(parts)-1].Last; last != (memory.Key{CreatedAt: ranges[1].Last.CreatedAt, ID: ranges[1].Last.ID}) {
		t.Errorf("the last key is %+v", last)
	}
}

func TestAnExportThatWasDeletedBeforeItsWorkflowStartedIsNotPlanned(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id := h.create(format.JSON)
	if err := h.Exports.Delete(h.Context(), workspaceID, id); err != nil {
		t.Fatal(err)
	}
	_, err := do[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
	wantFinal(t, err, attempt.TypeExportDeleted)
	h.wantStatus(id, export.Pending)
	if code := attempt.FailureCode(err, false); code != export.CodeCancelled {
		t.Errorf("the export fails with %s", code)
	}
}
