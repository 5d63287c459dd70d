// Package partwriter writes the memories of a range: it reads and encodes them, uploads the result in
// parts, and records each part.
package partwriter

import (
	"cmp"
	"context"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// DefaultPartSize is a size in bytes below every store's threshold for multipart uploads.
const DefaultPartSize = 8 << 20

// Writer writes ranges of exports. It is safe for concurrent use.
type Writer struct {
	Source  *memory.Source
	Exports *export.Store
	Archive *archive.Archive

	// PartSize is the size in bytes from which a part is closed, at the end of the memory that
	// reaches it. A part of ordinary memories is at most an eighth larger. Defaults to
	// DefaultPartSize.
	PartSize int
}

// Range is a range of an export's plan, with the parts of it that have been recorded.
type Range struct {
	Export   export.Export
	Format   *format.Format
	Number   int // of the range within the plan, from 0
	Bounds   memory.Range
	Recorded []export.Part
}

// Write writes the memories of r that follow the last recorded part, and returns what it has
// recorded. Reading and encoding a part overlaps with uploading the part before. The errors are those
// of package attempt. After an error, the parts recorded so far stay; an object that was uploaded but
// not recorded is an orphan, which the sweep deletes later.
func (w *Writer) Write(ctx context.Context, r Range) (export.Written, error) {
	var after *memory.Key
	if n := len(r.Recorded); n > 0 {
		after = &r.Recorded[n-1].Last
	}
	encoder := startEncoder(ctx, r.Format, cmp.Or(w.PartSize, DefaultPartSize), uploader{
		exports: w.Exports, archive: w.Archive, exportID: r.Export.ID, format: r.Format, rangeNumber: r.Number, nextPart: len(r.Recorded),
	})
	readErr := w.Source.Read(encoder.ctx, r.Export.Query(), r.Bounds, after, encoder.add)
	if readErr == nil {
		readErr = encoder.flushLast()
	}
	written, uploadErr := encoder.wait()
	if uploadErr != nil { // a failed upload also interrupts reading, so that it is the cause
		return written, uploadErr
	}
	return written, attempt.SourceError(ctx, readErr)
}
