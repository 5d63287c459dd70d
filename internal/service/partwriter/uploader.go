package partwriter

import (
	"context"
	"errors"
	"sync"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/metrics"
)

// uploader stores and records the parts of a range.
type uploader struct {
	exports     *export.Store
	archive     *archive.Archive
	exportID    string
	format      *format.Format
	rangeNumber int
	nextPart    int    // number of the next part
	previous    string // object of the last recorded part; empty if the range has none
}

// atStartOfFile reports whether the next part is the first of range 0. Range 0 may turn out to be
// empty. Then the file begins with a part of a later range, which starts with a separator, and
// archive.File skips that separator.
func (u *uploader) atStartOfFile() bool { return u.rangeNumber == 0 && u.nextPart == 0 }

// upload is a part on its way to the store.
type upload struct {
	part
	number    int
	separated bool
	done      chan struct{} // closed when stored and err are set
	stored    archive.Part
	err       error
}

// run stores and records the parts in queue until queue is closed, and returns how much it has recorded. It
// stores several parts at the same time if the archive advises that, but it records them in order. When run
// returns, nothing is being stored any more.
func (u *uploader) run(ctx context.Context, queue <-chan part) (export.Written, error) {
	first := u.nextPart
	written, err := u.storeAndRecord(ctx, queue)
	if unrecorded := u.nextPart - first - written.Parts; err != nil && unrecorded > 0 {
		u.retried(ctx, unrecorded, err)
	}
	return written, err
}

// mostPartsOfAMemory is how many parts can be stored before the first of them is recorded. The largest text in
// Postgres has 1 GiB, which a format makes six times as long at most: 768 parts of DefaultPartSize.
const mostPartsOfAMemory = 1024

func (u *uploader) storeAndRecord(ctx context.Context, queue <-chan part) (export.Written, error) {
	var storing sync.WaitGroup
	defer storing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan *upload, mostPartsOfAMemory)
	storing.Go(func() {
		defer close(started)
		for {
			next := u.next(ctx, queue)
			if next == nil {
				return
			}
			storing.Go(func() { u.store(ctx, next) })
			select {
			case started <- next:
			case <-ctx.Done():
				return
			}
		}
	})
	var written export.Written
	var group []export.Part // stored parts that will be recorded together
	for next := range started {
		<-next.done
		if next.err != nil {
			return written, attempt.StorageError(ctx, next.err)
		}
		group = append(group, export.Part{
			Part: next.stored, Range: u.rangeNumber, Number: next.number, Memories: next.memories, Last: next.last, FooterEntry: next.entry,
		})
		if !next.endsInside {
			if err := u.exports.Record(ctx, u.exportID, u.previous, group); err != nil {
				return written, recordError(ctx, u.exports, u.exportID, err)
			}
			u.previous = group[len(group)-1].Object
			recorded := export.Count(group)
			u.count(ctx, recorded)
			written = written.Plus(recorded)
			group = group[:0]
			if next.turn != nil {
				<-next.turn
			}
		}
	}
	return written, attempt.StorageError(ctx, ctx.Err()) // if ctx has ended, a part may have been dropped
}

// next takes a part from the queue and numbers it. It returns nil when the queue is closed or ctx ends.
func (u *uploader) next(ctx context.Context, queue <-chan part) *upload {
	select {
	case p, ok := <-queue:
		if !ok {
			return nil
		}
		if ctx.Err() != nil {
			<-p.place
			return nil
		}
		next := &upload{part: p, number: u.nextPart, separated: !p.startsInside && !u.atStartOfFile(), done: make(chan struct{})}
		u.nextPart++
		return next
	case <-ctx.Done():
		return nil
	}
}

// store stores a part, and gives its buffer and its place back.
func (u *uploader) store(ctx context.Context, p *upload) {
	defer close(p.done)
	defer func() { <-p.place }()
	put := u.archive.Put
	if u.format.Compressed {
		put = u.archive.PutAsIs
	}
	p.stored, p.err = put(ctx, u.exportID, u.rangeNumber, p.number, *p.data)
	p.stored.Continues, p.stored.Separated = p.startsInside, p.separated
	*p.data = (*p.data)[:0]
	buffers.Put(p.data)
}

// count counts what has been recorded.
func (u *uploader) count(ctx context.Context, recorded export.Written) {
	metrics.PartsWritten.Add(ctx, int64(recorded.Parts), u.format.Name)
	metrics.MemoriesWritten.Add(ctx, recorded.Memories, u.format.Name)
	metrics.BytesWritten.Add(ctx, recorded.Bytes, u.format.Name)
}

// retried counts parts that another attempt must write again because of err.
func (u *uploader) retried(ctx context.Context, parts int, err error) {
	reason := "Stopped" // the attempt was cancelled, or its worker stops
	if ctx.Err() == nil {
		reason = attempt.ErrorType(err)
	}
	metrics.PartsRetried.Add(ctx, int64(parts), reason)
}

// recordError classifies an error from recording parts. The error is retryable if another attempt has recorded
// a part first, has completed the range, or has published the export. Temporal may have given up that other
// attempt, and then ignores its result. So a retry must report to Temporal what the other attempt has done.
// The error is also retryable if Postgres has lost a part of this attempt: a retry writes that part again.
func recordError(ctx context.Context, exports *export.Store, exportID string, err error) error {
	if errors.Is(err, export.ErrConflict) {
		e, findErr := exports.Find(ctx, exportID)
		if findErr != nil {
			return attempt.DatabaseError(ctx, findErr)
		}
		if published := e.ExpiresAt != nil; published || e.Status == export.Processing {
			return attempt.Retryable(attempt.TypeOvertaken, errors.New("another attempt has recorded this part, completed this range or published the export, or Postgres has lost an earlier part"))
		}
	}
	return attempt.DatabaseError(ctx, err)
}
