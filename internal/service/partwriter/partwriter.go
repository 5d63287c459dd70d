// Package partwriter writes the memories of a range: it reads and encodes them, uploads the result in
// parts, and records each part.
package partwriter

import (
	"cmp"
	"context"
	"errors"

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

	// PartSize is the target size of a part in bytes: a part ends after the memory with which it
	// reaches this size. A part of ordinary memories is at most an eighth larger. The default is
	// DefaultPartSize.
	PartSize int
}

// Job is the task of writing one range of an export's plan. It includes the parts of the range that
// have been recorded.
type Job struct {
	Export   export.Export
	Format   *format.Format
	Number   int // number of the range within the plan, from 0
	Bounds   memory.Range
	Recorded []export.Part // without a gap, in the order of the file
	OnePart  bool          // whether to return ErrMore if the range has memories after its first part
}

// ErrMore means that a range has more than one part, although Job.OnePart is set. The first part is
// recorded.
var ErrMore = errors.New("the range has more than one part")

// Write writes the memories of the job's range that follow the last recorded part, marks the range as
// complete, and returns what it has recorded. It uploads one part while it reads and encodes the next. Its
// errors come from package attempt, except for ErrMore. After an error, the parts recorded so far stay; an
// object that was uploaded but not recorded is an orphan, which the sweep deletes later.
func (w *Writer) Write(ctx context.Context, j Job) (export.Written, error) {
	var after *memory.Key
	var previous string
	if n := len(j.Recorded); n > 0 {
		after, previous = &j.Recorded[n-1].Last, j.Recorded[n-1].Object
	}
	enc := startEncoder(ctx, j.Format, cmp.Or(w.PartSize, DefaultPartSize), uploader{
		exports: w.Exports, archive: w.Archive, exportID: j.Export.ID, format: j.Format, rangeNumber: j.Number,
		nextPart: len(j.Recorded), previous: previous,
	})
	visit := enc.add
	if j.OnePart {
		visit = func(m *memory.Memory) error {
			if len(j.Recorded) > 0 || enc.parts > 0 {
				return ErrMore
			}
			return enc.add(m)
		}
	}
	readErr := w.Source.Read(enc.ctx, j.Export.Query(), j.Bounds, after, visit)
	if readErr == nil {
		readErr = enc.flushLast()
	}
	written, uploadErr := enc.wait()
	if uploadErr != nil { // the failed upload also interrupted reading
		return written, uploadErr
	}
	if errors.Is(readErr, ErrMore) {
		return written, ErrMore
	}
	if readErr != nil {
		return written, attempt.SourceError(ctx, w.Source.Name(), readErr)
	}
	if err := w.Exports.CompleteRange(ctx, j.Export.ID, j.Number, len(j.Recorded)+written.Parts); err != nil {
		return written, recordError(ctx, w.Exports, j.Export.ID, err)
	}
	return written, nil
}
