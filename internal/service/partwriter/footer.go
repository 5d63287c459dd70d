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

// WriteFooter writes and records the footer of a file whose ranges are complete, and returns it as
// the only part of export.FooterRange. If an earlier call has recorded a footer, WriteFooter returns
// that footer. It returns no part if the format has no footer.
//
// The footer's part number is the number of parts that the footer describes. If parts were added
// after the footer was recorded, because a workflow was reset, WriteFooter fails: these parts would
// be missing from the footer.
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
		Last: memory.Key{CreatedAt: memory.Infinity, ID: uuid.Max.String()}, // the greatest possible key
	}}
	if err := w.Exports.Record(ctx, e.ID, "", footer); err != nil {
		return nil, recordError(ctx, w.Exports, e.ID, err)
	}
	return footer, nil
}
