package activities

import (
	"context"
	"errors"
	"slices"
	"sync"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// partSize is the size in bytes from which a part is closed, at the end of the memory that reaches
// it. It is below every store's threshold for multipart uploads.
var partSize = 8 << 20

// maxPart is the size in bytes that a part of ordinary memories does not exceed, nor its buffer: what
// might not fit any more begins the next part.
func maxPart() int { return partSize + partSize/8 }

// buffers are those of parts that have been uploaded, for the next ones.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// rangeWriter encodes memories into parts. While it fills one part, the part before is uploaded.
type rangeWriter struct {
	ctx    context.Context // ends when uploading fails, so that reading stops
	cancel context.CancelFunc
	format *format.Format

	buffer   *[]byte
	memories int64       // that end in buffer
	lastTime memory.Time // of the last of them
	lastID   [36]byte
	begins   bool // the file, so that no separator precedes the next memory

	queue chan chunk
	done  chan struct{}
	// What the uploading side leaves behind; to be read when done is closed.
	written Written
	err     error
}

// chunk is a part on its way to the store.
type chunk struct {
	data      *[]byte
	memories  int64
	last      memory.Key
	continues bool // it starts in the middle of a memory
	open      bool // it ends in the middle of a memory: it is recorded together with what follows
}

func newRangeWriter(ctx context.Context, f *format.Format, to partUploader) *rangeWriter {
	w := &rangeWriter{format: f, begins: to.first(), queue: make(chan chunk), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.buffer = buffers.Get().(*[]byte)
	go func() {
		defer close(w.done)
		w.written, w.err = to.run(w.ctx, w.queue)
		if w.err != nil {
			w.cancel()
		}
	}()
	return w
}

// add encodes a memory.
func (w *rangeWriter) add(m *memory.Memory) error {
	if m.Rest != nil {
		return w.addOversize(m)
	}
	need := 2*len(m.Text) + len(m.Metadata)
	if len(*w.buffer) > 0 && len(*w.buffer)+need > maxPart() {
		if err := w.flush(false, false); err != nil {
			return err
		}
	}
	w.grow(need)
	w.separate()
	*w.buffer = w.format.Append(*w.buffer, m)
	w.at(m)
	w.memories++
	if len(*w.buffer) >= partSize {
		return w.flush(false, false)
	}
	return nil
}

// addOversize encodes a memory piece by piece, into parts of its own, which are recorded together.
func (w *rangeWriter) addOversize(m *memory.Memory) error {
	if len(*w.buffer) > 0 {
		if err := w.flush(false, false); err != nil {
			return err
		}
	}
	w.at(m) // all of its parts carry its key
	w.separate()
	*w.buffer = w.format.Before(*w.buffer, m)
	var err error
	var prev byte
	continues := false
	for piece := m.Text; piece != nil; {
		w.grow(2 * len(piece))
		*w.buffer, prev = w.format.Text(*w.buffer, piece, prev)
		if len(*w.buffer) >= partSize {
			if err := w.flush(continues, true); err != nil {
				return err
			}
			continues = true
		}
		if piece, err = m.Rest(); err != nil {
			return err
		}
	}
	*w.buffer = w.format.After(*w.buffer, m)
	w.memories++
	return w.flush(continues, false)
}

// separate precedes every memory: with the separator it can be put behind another, in whatever part.
func (w *rangeWriter) separate() {
	if !w.begins {
		*w.buffer = append(*w.buffer, w.format.Separator...)
	}
	w.begins = false
}

// at notes the key of the memory that is being encoded, as a copy: the memory is the reader's.
func (w *rangeWriter) at(m *memory.Memory) {
	w.lastTime = m.CreatedAt
	copy(w.lastID[:], m.ID)
}

// grow makes room for n more bytes and some attributes: by doubling at first, so that a small export
// needs a small buffer, then to the size of a part with a little over, so that none is half empty.
func (w *rangeWriter) grow(n int) {
	b := *w.buffer
	n += 1 << 10
	if cap(b)-len(b) >= n {
		return
	}
	if size := maxPart() + 1<<10; cap(b) >= size/8 && len(b)+n <= size {
		*w.buffer = append(make([]byte, 0, size), b...)
		return
	}
	*w.buffer = slices.Grow(b, max(n, min(cap(b), partSize)))
}

// flush hands the buffer to the uploader, which takes one while it uploads another: the wait here
// is what bounds memory. It fails when uploading has failed.
func (w *rangeWriter) flush(continues, open bool) error {
	last := memory.Key{CreatedAt: w.lastTime, ID: string(w.lastID[:])}
	select {
	case w.queue <- chunk{w.buffer, w.memories, last, continues, open}:
		w.buffer, w.memories = buffers.Get().(*[]byte), 0
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// close ends the writing, with what is left in the buffer if all memories have been added, and
// returns what has been recorded.
func (w *rangeWriter) close(complete bool) (Written, error) {
	if complete && len(*w.buffer) > 0 {
		w.flush(false, false) //nolint:errcheck // it fails if the uploader has: w.err
	}
	close(w.queue)
	<-w.done
	w.cancel()
	return w.written, w.err
}

// partUploader stores and records the parts of a range, one after the other.
type partUploader struct {
	exports  *export.Store
	archive  *archive.Archive
	exportID string
	number   int // of the range
	next     int // the number of the next part
}

// first reports whether the next part is the first of the file, unless all of its range is gone.
func (u partUploader) first() bool { return u.number == 0 && u.next == 0 }

func (u partUploader) run(ctx context.Context, queue <-chan chunk) (Written, error) {
	var written Written
	var group []export.Part // stored, and to be recorded together
	for c := range queue {
		stored, err := u.archive.Put(ctx, u.exportID, u.number, u.next, *c.data)
		*c.data = (*c.data)[:0]
		buffers.Put(c.data)
		if err != nil {
			return written, storageError(ctx, err)
		}
		stored.Continues, stored.Separated = c.continues, !c.continues && !u.first()
		group = append(group, export.Part{Part: stored, Range: u.number, Number: u.next, Memories: c.memories, Last: c.last})
		u.next++
		if c.open {
			continue
		}
		if err := u.exports.Record(ctx, u.exportID, group); err != nil {
			return written, u.recordError(ctx, err)
		}
		for _, p := range group {
			written.Add(Written{1, p.Memories, p.Size})
		}
		group = group[:0]
	}
	return written, nil
}

// recordError classifies an error of recording parts. That another attempt was faster must not fail
// the export: it may be one that Temporal has given up, and then the next goes on where it ends.
func (u partUploader) recordError(ctx context.Context, err error) error {
	if errors.Is(err, export.ErrConflict) {
		e, findErr := u.exports.Find(ctx, u.exportID)
		if findErr != nil {
			return storeError(ctx, findErr)
		}
		if e.Status == export.Processing {
			return retryable(TypeOvertaken, errors.New("another attempt has recorded this part"))
		}
	}
	return storeError(ctx, err)
}
