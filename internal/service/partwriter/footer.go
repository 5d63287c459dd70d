package partwriter

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// WriteFooter writes the footer of a file whose ranges are complete, records it as the parts of
// export.FooterRange, and returns these. It records all of them or none. If an earlier call has recorded a footer,
// WriteFooter returns that footer. It returns no part if the format has no footer.
//
// The number of the footer's first part is the number of parts that the footer describes. If parts were added
// after the footer was recorded, because a workflow was reset, WriteFooter fails: these parts would
// be missing from the footer.
func (w *Writer) WriteFooter(ctx context.Context, e export.Export, f *format.Format) ([]export.Part, error) {
	if f.NewFooter == nil {
		return nil, nil
	}
	parts, err := w.Exports.Parts(ctx, e.ID)
	if err != nil {
		return nil, attempt.DatabaseError(ctx, err)
	}
	var recorded []export.Part
	if i := slices.IndexFunc(parts, func(p export.Part) bool { return p.Range == export.FooterRange }); i >= 0 {
		parts, recorded = parts[:i], parts[i:]
	}
	if len(recorded) > 0 && recorded[0].Number == len(parts) {
		return recorded, nil
	}
	if len(recorded) > 0 {
		return nil, attempt.Final(attempt.TypeCountMismatch, fmt.Errorf("the recorded footer does not describe the %d parts of the file", len(parts)))
	}
	footer, err := w.storeFooter(ctx, e, f, parts)
	if err != nil {
		return nil, err
	}
	if err := w.Exports.Record(ctx, e.ID, "", footer); err != nil {
		return nil, recordError(ctx, w.Exports, e.ID, err)
	}
	return footer, nil
}

// entriesAtOnce is how many entries for the footer one query reads. An entry has 1 to 4 KiB.
const entriesAtOnce = 100

// storeFooter stores the footer that describes these parts, and returns the parts of the footer. The footer is as
// long as the export is large, so it is never in RAM as a whole.
func (w *Writer) storeFooter(ctx context.Context, e export.Export, f *format.Format, parts []export.Part) ([]export.Part, error) {
	encoder := f.NewFooter(format.Info{
		ExportID: e.ID, Filters: e.Filter.Names(), Memories: export.Count(parts).Memories, Entries: countEntries(parts),
	})
	var data []byte
	var footer []export.Part
	store := func() error {
		number := len(parts) + len(footer)
		stored, err := w.Archive.PutAsIs(ctx, e.ID, export.FooterRange, number, data)
		footer = append(footer, export.Part{
			Part: stored, Range: export.FooterRange, Number: number,
			Last: memory.Key{CreatedAt: memory.Infinity, ID: uuid.Max.String()}, // the greatest possible key
		})
		data = data[:0]
		return attempt.StorageError(ctx, err)
	}
	for described := range slices.Chunk(parts, entriesAtOnce) {
		entries, err := w.Exports.FooterEntries(ctx, e.ID, described)
		if err != nil {
			return nil, attempt.DatabaseError(ctx, err)
		}
		for i, p := range described {
			data, err = encoder.Append(data, format.FooterPart{Size: p.Size, Continues: p.Continues, Entry: entries[i]})
			if err != nil {
				return nil, attempt.Final(attempt.TypeCountMismatch, err)
			}
			if len(data) >= cmp.Or(w.PartSize, DefaultPartSize) {
				if err := store(); err != nil {
					return nil, err
				}
			}
		}
	}
	var err error
	if data, err = encoder.Finish(data); err != nil {
		return nil, attempt.Final(attempt.TypeCountMismatch, err)
	}
	if err := store(); err != nil {
		return nil, err
	}
	return footer, nil
}

// countEntries returns how many entries the footer has. A part that continues another one shares its entry.
func countEntries(parts []export.Part) int {
	n := len(parts)
	for _, p := range parts {
		if p.Continues {
			n--
		}
	}
	return n
}
