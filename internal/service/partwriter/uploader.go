package partwriter

import (
	"context"
	"errors"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/metrics"
)

// uploader stores and records the parts of a range, one after the other.
type uploader struct {
	exports     *export.Store
	archive     *archive.Archive
	exportID    string
	format      *format.Format
	rangeNumber int
	nextPart    int // number of the next part
}

// atStartOfFile reports whether the next part is the first of range 0. Range 0 may turn out to be
// empty. Then the file begins with a part of a later range, which starts with a separator, and
// archive.File skips that separator.
func (u *uploader) atStartOfFile() bool { return u.rangeNumber == 0 && u.nextPart == 0 }

// run stores and records the parts in queue until queue is closed, and returns how much it has
// recorded.
func (u *uploader) run(ctx context.Context, queue <-chan part) (export.Written, error) {
	var written export.Written
	var group []export.Part // stored parts that will be recorded together
	for p := range queue {
		separated := !p.startsInside && !u.atStartOfFile()
		put := u.archive.Put
		if u.format.Compressed {
			put = u.archive.PutAsIs
		}
		stored, err := put(ctx, u.exportID, u.rangeNumber, u.nextPart, *p.data)
		*p.data = (*p.data)[:0]
		buffers.Put(p.data)
		if err != nil {
			return written, u.retried(ctx, 1, attempt.StorageError(ctx, err))
		}
		stored.Continues, stored.Separated = p.startsInside, separated
		group = append(group, export.Part{
			Part: stored, Range: u.rangeNumber, Number: u.nextPart, Memories: p.memories, Last: p.last, FooterEntry: p.entry,
		})
		u.nextPart++
		if p.endsInside {
			continue
		}
		if err := u.exports.Record(ctx, u.exportID, group); err != nil {
			return written, u.retried(ctx, len(group), recordError(ctx, u.exports, u.exportID, err))
		}
		recorded := export.Count(group)
		u.count(ctx, recorded)
		written = written.Plus(recorded)
		group = group[:0]
	}
	return written, nil
}

// count counts what has been recorded.
func (u *uploader) count(ctx context.Context, recorded export.Written) {
	metrics.PartsWritten.Add(ctx, int64(recorded.Parts), u.format.Name)
	metrics.MemoriesWritten.Add(ctx, recorded.Memories, u.format.Name)
	metrics.BytesWritten.Add(ctx, recorded.Bytes, u.format.Name)
}

// retried counts parts that another attempt must write again because of err, and returns err.
func (u *uploader) retried(ctx context.Context, parts int, err error) error {
	reason := "Stopped" // the attempt was cancelled, or its worker stops
	if ctx.Err() == nil {
		reason = attempt.ErrorType(err)
	}
	metrics.PartsRetried.Add(ctx, int64(parts), reason)
	return err
}

// recordError classifies an error from recording parts. The error is retryable if another attempt has recorded
// a part first, has completed the range, or has published the export. Temporal may have given up that other
// attempt, and then ignores its result. So a retry must report to Temporal what the other attempt has done.
func recordError(ctx context.Context, exports *export.Store, exportID string, err error) error {
	if errors.Is(err, export.ErrConflict) {
		e, findErr := exports.Find(ctx, exportID)
		if findErr != nil {
			return attempt.DatabaseError(ctx, findErr)
		}
		if published := e.ExpiresAt != nil; published || e.Status == export.Processing {
			return attempt.Retryable(attempt.TypeOvertaken, errors.New("another attempt has recorded this part, completed this range or published the export"))
		}
	}
	return attempt.DatabaseError(ctx, err)
}
