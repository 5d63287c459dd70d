package activities_test

import (
	"errors"
	"testing"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// An attempt may still be running after Temporal has started another attempt in its place. The late attempt may
// have read memories that have been deleted since. It must not add these memories to a range that the other attempt
// has completed without them.
func TestALateAttemptAddsNothingToACompleteRange(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(100)
	in := h.oneRange(format.JSON)
	h.exec(`DELETE FROM memories WHERE id IN (SELECT id FROM memories ORDER BY created_at DESC, id DESC LIMIT 20)`)
	written := must[export.Written](h, h.WriteRange, in)
	last := h.parts(in.ExportID)[written.Parts-1]
	late := export.Part{Range: 0, Number: written.Parts, Memories: 20, Last: memory.Key{CreatedAt: in.Range.Last.CreatedAt, ID: in.Range.Last.ID}}
	var err error
	if late.Part, err = h.Archive.Put(t.Context(), in.ExportID, 0, late.Number, []byte(",{}")); err != nil {
		t.Fatal(err)
	}
	if err := h.Exports.Record(t.Context(), in.ExportID, last.Object, []export.Part{late}); !errors.Is(err, export.ErrConflict) {
		t.Errorf("the late attempt recorded its part: %v", err)
	}
	published := must[activities.PublishResult](h, h.Publish, activities.PublishInput{ExportID: in.ExportID, Ranges: 1, Written: written})
	if published.Memories != 80 {
		t.Errorf("published is %+v", published)
	}
	h.wantFile(in.ExportID, format.JSON)
}

// After a reset, an attempt may find its range complete. It must not add memories that were inserted at the end of
// the range since then.
func TestAnAttemptThatFindsARangeCompleteAddsNothing(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	in := h.oneRange(format.JSON)
	h.exec(`CREATE TABLE gone AS SELECT * FROM memories ORDER BY created_at DESC, id DESC LIMIT 20`)
	h.exec(`DELETE FROM memories WHERE id IN (SELECT id FROM gone)`)
	written := must[export.Written](h, h.WriteRange, in)
	h.exec(`INSERT INTO memories SELECT * FROM gone`)
	if again := must[export.Written](h, h.WriteRange, in); again != written || again.Memories != 80 {
		t.Errorf("the second attempt returned %+v, the first %+v", again, written)
	}
}

// A late attempt may also be the first to record a part. The other attempt must then count that part.
func TestAnAttemptDoesNotCompleteARangeThatHasMorePartsThanItKnows(t *testing.T) {
	h := newHarness(t)
	h.fill(10)
	in := h.oneRange(format.JSON)
	written := must[export.Written](h, h.WriteRange, in)
	for _, parts := range []int{0, written.Parts + 1} {
		if err := h.Exports.CompleteRange(t.Context(), in.ExportID, 0, parts); !errors.Is(err, export.ErrConflict) {
			t.Errorf("with %d parts: %v", parts, err)
		}
	}
	for range 2 {
		if err := h.Exports.CompleteRange(t.Context(), in.ExportID, 0, written.Parts); err != nil {
			t.Error(err)
		}
	}
}

// After a reset, memories that were inserted into a complete range do not change it. Otherwise the footer,
// which may be recorded already, would not describe all parts.
func TestAResetAfterTheFooterAddsNothing(t *testing.T) {
	h := newHarness(t)
	h.fill(50)
	id, plan := h.started(format.Parquet)
	in := h.written(id, plan)
	h.writeFooter(id, format.Parquet)
	h.exec(`INSERT INTO memories SELECT gen_random_uuid(), 'late', user_id, agent_id, session_id, priority, status, categories, metadata,
		workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	again := h.written(id, plan)
	if again.Written != in.Written {
		t.Errorf("written is %+v, not %+v", again.Written, in.Written)
	}
	must[activities.PublishResult](h, h.Publish, again)
	if e := h.find(id); e.MemoryCount != 50 {
		t.Errorf("%d memories were published", e.MemoryCount)
	}
}
