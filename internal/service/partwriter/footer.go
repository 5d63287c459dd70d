package partwriter

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// WriteFooter writes and records the footer of a file whose ranges are complete, and returns it as the
// only part of export.FooterRange. If an earlier call has recorded the footer, it returns that one. It
// returns nothing if the format has no footer.
//
// The number of the part is the number of parts that the footer describes. If a reset workflow has added
// parts since the footer was recorded, WriteFooter fails: the file would lack what they hold.
func (w *Writer) WriteFooter(ctx context.Context, e export.Export, f *format.Format) ([]export.Part, error) {
	if f.Footer == nil {
		return nil, nil
	}
	parts, err := w.Exports.FooterParts(ctx, e.ID)
	if err != nil {
		return nil, attempt.DatabaseError(ctx, err)
	}
	recorded, err := w.Exports.PartsOfRange(ctx, e.ID, export.FooterRange)
	if err != nil {
		return nil, attempt.DatabaseError(ctx, err)
	}
	if len(recorded) == 1 && recorded[0].Number == len(parts) {
		return recorded, nil
	}
	if len(recorded) > 0 {
		return nil, attempt.Final(attempt.TypeCountMismatch, fmt.Errorf("the recorded footer does not describe the %d parts of the file", len(parts)))
	}
	data, err := f.Footer(format.Info{ExportID: e.ID, Filters: e.Filter.Names(), Memories: e.MemoryCount}, parts)
	if err != nil {
		return nil, attempt.Final(attempt.TypeCountMismatch, err)
	}
	stored, err := w.Archive.PutAsIs(ctx, e.ID, export.FooterRange, len(parts), data)
	if err != nil {
		return nil, attempt.StorageError(ctx, err)
	}
	footer := []export.Part{{
		Part: stored, Range: export.FooterRange, Number: len(parts),
		Last: memory.Key{CreatedAt: memory.Infinity, ID: uuid.Max.String()}, // no memory is read after it
	}}
	if err := w.Exports.Record(ctx, e.ID, footer); err != nil {
		return nil, recordError(ctx, w.Exports, e.ID, err)
	}
	return footer, nil
}
