package activities_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

func TestPublishRejectsCountsThatDifferFromTheRecordedParts(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(100)
	id, plan := h.started(format.JSON)
	right := h.written(id, plan)
	for name, change := range map[string]func(in *activities.PublishInput){
		"a memory too few": func(in *activities.PublishInput) { in.Written.Memories-- },
		"a byte too many":  func(in *activities.PublishInput) { in.Written.Bytes++ },
		"a part too many":  func(in *activities.PublishInput) { in.Written.Parts++ },
		"a range too few":  func(in *activities.PublishInput) { in.Ranges = 0 },
		"a digest of more": func(in *activities.PublishInput) { in.Digest = h.digestOf(id, format.JSON) },
	} {
		t.Run(name, func(t *testing.T) {
			in := right
			change(&in)
			_, err := do[activities.PublishResult](h, h.Publish, in)
			wantFinal(t, err, attempt.TypeCountMismatch)
			h.wantStatus(id, export.Processing)
		})
	}
	must[activities.PublishResult](h, h.Publish, right)
}

// All counts come from the rows of the parts, so they agree although a part is missing.
func TestAFileThatLacksAPartIsNeverPublished(t *testing.T) {
	for _, f := range []*format.Format{format.JSON, format.Parquet} { // Parquet has a footer, which describes the other parts
		t.Run(f.Name, func(t *testing.T) {
			h := newHarness(t)
			h.PartSize = 8 << 10
			h.fill(400)
			for name, lost := range map[string]string{"the first": "part = 0 AND range = 0", "one between others": "part = 1 AND range = 1"} {
				id := h.create(f)
				ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
				if err != nil {
					t.Fatal(err)
				}
				h.written(id, activities.PlanResult{Ranges: ranges})
				h.exec(`DELETE FROM memexport.export_parts WHERE `+lost+` AND export_id = $1`, id)
				again := h.written(id, activities.PlanResult{Ranges: ranges})
				if n := len(h.parts(id)); n != again.Written.Parts {
					t.Errorf("%s: %d parts are recorded and %d reported", name, n, again.Written.Parts)
				}
				_, err = do[activities.PublishResult](h, h.Publish, again)
				wantFinal(t, err, attempt.TypeCountMismatch)
				h.wantStatus(id, export.Processing)
			}
		})
	}
}

// With Temporal's CLI, somebody can complete an activity that has not done its work. Its result may even agree with
// what is recorded.
func TestAFileWithoutTheMemoriesOfARangeIsNeverPublished(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	started := func() (string, []memory.PlannedRange) {
		id := h.create(format.JSON)
		ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
		if err != nil {
			t.Fatal(err)
		}
		return id, ranges
	}
	for name, prepare := range map[string]func(id string, ranges []memory.PlannedRange) activities.PublishInput{
		"Plan": func(id string, _ []memory.PlannedRange) activities.PublishInput {
			return activities.PublishInput{ExportID: id}
		},
		"every WriteRange": func(id string, _ []memory.PlannedRange) activities.PublishInput {
			return activities.PublishInput{ExportID: id, Ranges: 2}
		},
		"the last WriteRange": func(id string, ranges []memory.PlannedRange) activities.PublishInput {
			in := h.written(id, activities.PlanResult{Ranges: ranges[:1]})
			in.Ranges, in.Digest = 2, must[archive.Digest](h, h.Verify, activities.VerifyInput{ExportID: id})
			return in
		},
		"a WriteRange before its last part": func(id string, ranges []memory.PlannedRange) activities.PublishInput {
			in := h.written(id, activities.PlanResult{Ranges: ranges})
			parts := h.parts(id)
			lost := parts[len(parts)-1]
			h.loseEnd(id, lost)
			in.Written.Parts, in.Written.Memories, in.Written.Bytes = in.Written.Parts-1, in.Written.Memories-lost.Memories, in.Written.Bytes-lost.Size
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			id, ranges := started()
			_, err := do[activities.PublishResult](h, h.Publish, prepare(id, ranges))
			wantFinal(t, err, attempt.TypeCountMismatch)
			h.in(t).wantStatus(id, export.Processing)
		})
	}
}

// loseEnd deletes the last part of the last range, and the mark that says that the range is complete.
func (h *harness) loseEnd(id string, last export.Part) {
	h.Helper()
	h.exec(`DELETE FROM memexport.export_parts WHERE export_id = $1 AND range = $2 AND part = $3`, id, last.Range, last.Number)
	h.exec(`UPDATE memexport.exports SET complete_ranges = array_remove(complete_ranges, $2::integer) WHERE id = $1`, id, last.Range)
}

func TestPublishWritesAgainWhatPostgresHasLost(t *testing.T) {
	for name, c := range map[string]struct {
		format  *format.Format
		compose bool // whether Compose runs before Publish; it writes the footer, and then fails because a directory joins nothing
	}{
		"json":              {format.JSON, false},
		"parquet":           {format.Parquet, false},
		"parquet, composed": {format.Parquet, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.PartSize = 8 << 10
			h.fill(400)
			id, plan := h.started(c.format)
			in := h.written(id, plan)
			before := h.parts(id)
			h.loseEnd(id, before[len(before)-1])
			if c.compose {
				if _, err := do[archive.Composed](h, h.Compose, h.ref(id)); attempt.ErrorType(err) != attempt.TypeStorageUnavailable {
					t.Fatal(err)
				}
			}
			must[activities.PublishResult](h, h.Publish, in)
			h.wantStatus(id, export.Ready)
			for i, after := range h.parts(id)[:len(before)] {
				if after.Checksum != before[i].Checksum || after.Memories != before[i].Memories {
					t.Errorf("part %d is %+v, was %+v", i, after, before[i])
				}
			}
		})
	}
}

func TestPublishRejectsAComposedObjectThatDiffersFromTheParts(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	file := h.file(id, format.JSON)
	sum := sha256.Sum256([]byte(file))
	right := archive.Composed{Object: "exports/" + id + "/file", Size: int64(len(file)), SHA256: sum[:]}
	for name, change := range map[string]func(c *archive.Composed){
		"shorter": func(c *archive.Composed) { c.Size-- },
		"other":   func(c *archive.Composed) { c.SHA256 = sum[1:] },
	} {
		in.Composed = right
		change(&in.Composed)
		_, err := do[activities.PublishResult](h, h.Publish, in)
		t.Log(name)
		wantFinal(t, err, attempt.TypeStorageCorrupt)
		h.wantStatus(id, export.Processing)
	}
	in.Composed = right
	must[activities.PublishResult](h, h.Publish, in)
	if e := h.find(id); e.FileObject == nil || *e.FileObject != right.Object {
		t.Errorf("published is %+v", e)
	}
	must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
	must[any](h, h.Purge, h.ref(id))
	if e := h.find(id); e.FileObject != nil {
		t.Errorf("purged, it still has %s", *e.FileObject)
	}
}

func TestADamagedPartIsNeverPublished(t *testing.T) {
	flip := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	truncate := func(t *testing.T, path string) {
		if err := os.Truncate(path, 10); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, string)
		want   func(t *testing.T, err error, errorType string)
		kind   string
	}{
		"a flipped bit": {flip, wantFinal, attempt.TypeStorageCorrupt},
		"a cut end":     {truncate, wantFinal, attempt.TypeStorageCorrupt},
		"gone":          {remove, wantRetryable, attempt.TypeStorageUnavailable}, // retryable, because some stores show a new object late
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.PartSize = 8 << 10
			h.fill(200)
			id := h.create(format.CSV)
			ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
			if err != nil {
				t.Fatal(err)
			}
			in := h.written(id, activities.PlanResult{Ranges: ranges})
			for _, p := range h.parts(id) {
				if p.Number > 0 {
					continue // test only the first part of each range
				}
				path := filepath.Join(h.dir, filepath.FromSlash(p.Object))
				intact, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				c.damage(t, path)
				if p.Range == 0 { // Publish reads only the last range, so an error in range 0 is found by Verify
					_, err = do[any](h, h.Verify, activities.VerifyInput{ExportID: id})
				} else {
					_, err = do[any](h, h.Publish, in)
				}
				c.want(t, err, c.kind)
				h.wantStatus(id, export.Processing)
				if err := os.WriteFile(path, intact, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			must[activities.PublishResult](h, h.Publish, in)
		})
	}
}

func TestAFailedExportIsNotPublished(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	must[any](h, h.Fail, activities.FailInput{ExportID: id, Code: export.CodeTerminated})
	if again := must[activities.PublishResult](h, h.Publish, in); again.Settled.Code != export.CodeTerminated {
		t.Errorf("published is %+v", again)
	}
	_, err := do[any](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: 1, Range: plan.Ranges[0].Range})
	if err != nil {
		wantFinal(t, err, attempt.TypeExportClosed)
	}
	h.wantStatus(id, export.Failed)
}

// If the export fails while an attempt of WriteRange is still reading memories, that attempt must not add
// parts to the export.
func TestAnExportThatFailsWhileARangeIsWrittenGetsNoMoreParts(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	release := h.holdPart(1)
	result := make(chan error, 1)
	go func() {
		_, err := do[any](h, h.WriteRange, in)
		result <- err
	}()
	h.waiting(1) // recording a part locks the row of the export, so Fail must wait
	failed := make(chan error, 1)
	go func() {
		_, err := do[any](h, h.Fail, activities.FailInput{ExportID: in.ExportID, Code: export.CodeCancelled})
		failed <- err
	}()
	select {
	case err := <-failed:
		t.Fatal("Fail did not wait for the part that was being recorded:", err)
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	wantFinal(t, <-result, attempt.TypeExportClosed)
	h.wantStatus(in.ExportID, export.Failed)
}
