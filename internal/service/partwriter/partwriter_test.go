package partwriter_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/partwriter"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
)

const (
	workspaceID = "0190a000-0000-4000-8000-00000000000f"
	memories    = 200
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

// everything bounds a range that holds all memories.
var everything = memory.Range{
	First: memory.Key{CreatedAt: memory.NegativeInfinity, ID: uuid.Nil.String()},
	Last:  memory.Key{CreatedAt: memory.Infinity, ID: uuid.Max.String()},
}

// newWriter returns a writer of small parts, whose source has some memories.
func newWriter(t *testing.T) *partwriter.Writer {
	t.Helper()
	db := pgtest.Open(t, 8)
	if _, err := demo.Fill(t.Context(), db, workspaceID, memories); err != nil {
		t.Fatal(err)
	}
	source, err := memory.NewSource(db, "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := archive.Open(t.Context(), "file://"+t.TempDir(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	return &partwriter.Writer{Source: source, Exports: export.NewStore(db), Archive: bucket, PartSize: 4 << 10}
}

// newJob returns the job of writing the only range of a new PROCESSING export.
func newJob(t *testing.T, w *partwriter.Writer, f *format.Format) partwriter.Job {
	t.Helper()
	e, err := w.Exports.Create(t.Context(), export.Export{WorkspaceID: workspaceID, Format: f.Name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Exports.Start(t.Context(), e.ID, []memory.PlannedRange{{Range: everything, Estimate: memories}}); err != nil {
		t.Fatal(err)
	}
	return partwriter.Job{Export: e, Format: f, Bounds: everything}
}

func recorded(t *testing.T, w *partwriter.Writer, r partwriter.Job) []export.Part {
	t.Helper()
	parts, err := w.Exports.PartsOfRange(t.Context(), r.Export.ID, r.Number)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func file(t *testing.T, w *partwriter.Writer, r partwriter.Job) string {
	t.Helper()
	content, err := io.ReadAll(w.Archive.File(t.Context(), r.Format, export.Stored(recorded(t, w, r))))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestWriteContinuesAfterTheRecordedParts(t *testing.T) {
	w := newWriter(t)
	for _, f := range format.All {
		whole := newJob(t, w, f)
		written, err := w.Write(t.Context(), whole)
		if err != nil {
			t.Fatal(err)
		}
		parts := recorded(t, w, whole)
		if written != export.Count(parts) || written.Memories != memories || written.Parts < 5 {
			t.Errorf("%s: %+v was written and %+v recorded", f.Name, written, export.Count(parts))
		}
		resumed := newJob(t, w, f)
		// The first attempt has ended after three parts. Their bytes are the same in both exports.
		if err := w.Exports.Record(t.Context(), resumed.Export.ID, "", parts[:3]); err != nil {
			t.Fatal(err)
		}
		resumed.Recorded = recorded(t, w, resumed)
		first := export.Count(resumed.Recorded)
		rest, err := w.Write(t.Context(), resumed)
		if err != nil {
			t.Fatal(err)
		}
		if first.Plus(rest) != written {
			t.Errorf("%s: %+v and %+v were written, want %+v together", f.Name, first, rest, written)
		}
		if file(t, w, resumed) != file(t, w, whole) {
			t.Errorf("%s: the file of the resumed export differs", f.Name)
		}
	}
}

func TestALateWriterRecordsNothing(t *testing.T) {
	w := newWriter(t)
	const final, retryable = true, false
	late := func(r partwriter.Job, errorType string, nonRetryable bool) {
		t.Helper()
		before := recorded(t, w, r)
		written, err := w.Write(t.Context(), r) // r does not contain the parts that the first Write recorded
		var applicationErr *temporal.ApplicationError
		if !errors.As(err, &applicationErr) || applicationErr.Type() != errorType || applicationErr.NonRetryable() != nonRetryable {
			t.Errorf("the error is %v, want a %s (final: %v)", err, errorType, nonRetryable)
		}
		if written != (export.Written{}) || !reflect.DeepEqual(before, recorded(t, w, r)) {
			t.Errorf("the late writer recorded %+v", written)
		}
	}
	writtenOnce := func() partwriter.Job {
		r := newJob(t, w, format.JSON)
		if _, err := w.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	failed := writtenOnce()
	late(failed, attempt.TypeOvertaken, retryable)
	if err := w.Exports.Fail(t.Context(), failed.Export.ID, export.Failures[export.CodeCancelled]); err != nil {
		t.Fatal(err)
	}
	late(failed, attempt.TypeExportClosed, final)

	published := writtenOnce()
	counted := export.Count(recorded(t, w, published))
	file := export.File{Parts: counted.Parts, Memories: counted.Memories}
	if _, err := w.Exports.Publish(t.Context(), published.Export.ID, file, time.Hour); err != nil {
		t.Fatal(err)
	}
	late(published, attempt.TypeOvertaken, retryable) // a retry finds the published export and reports it
}

// The footer describes every part, so it grows with the export, and RAM must not.
func TestALongFooterIsStoredInParts(t *testing.T) {
	w := newWriter(t)
	w.PartSize = 1 // so that each memory is a part
	j := newJob(t, w, format.Parquet)
	if _, err := w.Write(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	w.PartSize = 16 << 10
	footer, err := w.WriteFooter(t.Context(), j.Export, format.Parquet)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range footer {
		const entry = 4 << 10 // bytes at most
		if last := i == len(footer)-1; p.Size > int64(w.PartSize+entry) || !last && p.Size < int64(w.PartSize) || p.Number != memories+i {
			t.Errorf("part %d of the footer is number %d and has %d bytes", i, p.Number, p.Size)
		}
	}
	all, err := w.Exports.Parts(t.Context(), j.Export.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(footer) < 3 || len(all) != memories+len(footer) || !reflect.DeepEqual(all[memories:], footer) {
		t.Errorf("the footer is %+v, but of %d recorded parts, the last are %+v", footer, len(all), all[min(memories, len(all)):])
	}
	content, err := io.ReadAll(w.Archive.File(t.Context(), format.Parquet, export.Stored(all)))
	if err != nil {
		t.Fatal(err)
	}
	read, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if groups := len(read.RowGroups()); groups != memories || read.NumRows() != memories {
		t.Errorf("the footer describes %d row groups with %d rows, want %d", groups, read.NumRows(), memories)
	}
}
