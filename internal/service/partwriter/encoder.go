package partwriter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// buffers holds the buffers of uploaded parts for reuse.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// encoder encodes memories into parts and hands each part to an uploader in the background.
type encoder struct {
	ctx      context.Context // ends when uploading fails, so that reading stops
	cancel   context.CancelFunc
	format   *format.Format
	partSize int // bytes

	formatEncoder format.Encoder

	buffer   *[]byte     // the current part, without the bytes that formatEncoder holds back
	memories int64       // memories whose encoding ends in the part
	lastTime memory.Time // created_at of the last memory
	lastID   [36]byte
	first    bool // the next memory is the first of the file, so no separator precedes it
	parts    int  // parts that are complete and do not end within a memory

	queue   chan part
	turns   chan struct{} // see part.turn
	own     chan struct{} // see takePlace
	shared  chan struct{} // see archive.Archive.ExtraUploads
	waiting *part         // a part that got no place for its upload in time; see flush
	inside  bool          // an oversize memory is about to be read or is being read, so reading cannot pause
	done    chan struct{} // closed when the uploader has ended; written and err must not be read before that

	written export.Written
	err     error
}

// part is an encoded part on its way to the store.
type part struct {
	data     *[]byte
	memories int64
	last     memory.Key
	entry    []byte // see export.Part.FooterEntry
	// turn is nil, or it is encoder.turns. That channel then holds an element for this part until the part is
	// recorded. The capacity of the channel limits how far reading is ahead of recording.
	turn  chan struct{}
	place chan struct{} // where the part has a place for its upload; see takePlace
	cut
}

// cut says whether a part starts or ends within an oversize memory. The zero value means that the
// part holds whole memories only.
type cut struct {
	startsInside bool // the part starts in the middle of a memory
	endsInside   bool // the part ends in the middle of a memory, and is recorded together with the next part
}

// startEncoder starts the uploader. The caller must call wait in the end.
func startEncoder(ctx context.Context, f *format.Format, partSize int, u uploader) *encoder {
	e := &encoder{
		format: f, formatEncoder: f.NewEncoder(), partSize: partSize, first: u.atStartOfFile(),
		buffer: buffers.Get().(*[]byte), queue: make(chan part), done: make(chan struct{}),
		own: make(chan struct{}, 1), shared: u.archive.ExtraUploads(),
	}
	e.turns = make(chan struct{}, cap(e.own)+cap(e.shared)+1)
	e.ctx, e.cancel = context.WithCancel(ctx)
	go func() {
		defer close(e.done)
		e.written, e.err = u.run(e.ctx, e.queue)
		if e.err != nil {
			e.cancel()
		}
	}()
	return e
}

// maxPart is the largest size in bytes of a part of ordinary memories, and of its buffer. A memory that
// might not fit begins the next part.
func (e *encoder) maxPart() int { return e.partSize + e.partSize/8 }

// size returns an upper bound for the number of bytes that the part would have if it ended now.
func (e *encoder) size() int { return len(*e.buffer) + e.formatEncoder.Pending() }

// add encodes a memory. If the uploader is late, add returns a *memory.Pause.
func (e *encoder) add(m *memory.Memory) error {
	if err := e.encode(m); err != nil || e.waiting == nil {
		return err
	}
	return &memory.Pause{Wait: e.handOver}
}

func (e *encoder) encode(m *memory.Memory) error {
	if m.Rest != nil {
		return e.addOversize(m)
	}
	need := 2*len(m.Text) + len(m.Metadata)
	if size := e.size(); size > 0 && size+need > e.maxPart() {
		if err := e.flush(cut{}); err != nil {
			return err
		}
	}
	e.grow(need)
	e.separate()
	*e.buffer = e.formatEncoder.Append(*e.buffer, m)
	e.setLast(m)
	e.memories++
	// If a part is waiting already, flush would wait for it without a time limit.
	if e.size() >= e.partSize && e.waiting == nil {
		return e.flush(cut{})
	}
	return nil
}

// addOversize encodes a memory that is read in pieces. The memory gets parts of its own. These parts
// are recorded together, so that an attempt never resumes in the middle of the memory.
//
// Reading cannot pause within a memory, so it holds its connection until the end of the memory. Recording an
// earlier part may need that connection. So flush does not wait for recording until the memory has been read.
func (e *encoder) addOversize(m *memory.Memory) error {
	e.inside = true
	if e.size() > 0 {
		if err := e.flush(cut{}); err != nil {
			return err
		}
	}
	e.setLast(m) // every part of the memory is recorded with the memory's key
	e.separate()
	*e.buffer = e.formatEncoder.Before(*e.buffer, m)
	var err error
	startsInside := false
	for piece := m.Text; piece != nil; {
		e.grow(2 * len(piece))
		*e.buffer = e.formatEncoder.Text(*e.buffer, piece)
		if len(*e.buffer) >= e.partSize {
			if err := e.flush(cut{startsInside: startsInside, endsInside: true}); err != nil {
				return err
			}
			startsInside = true
		}
		if piece, err = m.Rest(); err != nil {
			return err
		}
	}
	*e.buffer = e.formatEncoder.After(*e.buffer, m)
	e.memories++
	e.inside = false
	return e.flush(cut{startsInside: startsInside})
}

// separate appends the separator that precedes every memory but the first of the file.
func (e *encoder) separate() {
	if !e.first {
		*e.buffer = append(*e.buffer, e.format.Separator...)
	}
	e.first = false
}

// setLast copies the key of a memory, because the reader overwrites m with the next row.
func (e *encoder) setLast(m *memory.Memory) {
	e.lastTime = m.CreatedAt
	copy(e.lastID[:], m.ID)
}

// grow makes room in the buffer for n more bytes of text and 1 KiB of attributes. It doubles a small
// buffer, so that a small export needs little RAM. A larger buffer grows at once to the size of the
// largest part.
func (e *encoder) grow(n int) {
	b := *e.buffer
	n += 1 << 10
	if cap(b)-len(b) >= n {
		return
	}
	if size := e.maxPart() + 1<<10; cap(b) >= size/8 && len(b)+n <= size {
		*e.buffer = append(make([]byte, 0, size), b...)
		return
	}
	*e.buffer = slices.Grow(b, max(n, min(cap(b), e.partSize)))
}

// flush ends the part, hands it to the uploader and starts a new part. It waits while no upload may begin or
// too many parts are not recorded yet. So besides the parts that the uploader is storing, a range needs RAM for
// only one more part and for what formatEncoder holds back. After uploadPatience, flush stops waiting and leaves
// the part in e.waiting. While reading cannot pause, flush waits only until an upload may begin, but without a
// time limit. flush fails if an upload has failed.
func (e *encoder) flush(c cut) error {
	p := part{data: e.buffer, memories: e.memories, last: memory.Key{CreatedAt: e.lastTime, ID: string(e.lastID[:])}, cut: c}
	if !c.endsInside {
		e.grow(e.formatEncoder.Pending())
		var err error
		if *e.buffer, p.entry, err = e.formatEncoder.Finish(*e.buffer); err != nil {
			return fmt.Errorf("%w: %w", memory.ErrUnreadable, err)
		}
	}
	e.buffer, e.memories = buffers.Get().(*[]byte), 0
	if !c.endsInside {
		e.parts++
	}
	if err := e.handOver(); err != nil { // hand over an earlier part first: e.waiting holds only one
		return err
	}
	e.waiting = &p
	if e.inside {
		return e.send(nil)
	}
	late := time.NewTimer(uploadPatience)
	defer late.Stop()
	if err := e.takeTurn(late.C); err != nil || p.turn == nil {
		return err
	}
	return e.send(late.C)
}

// uploadPatience is how long reading waits for the uploader while it holds a connection to the memories
// database. After that, it gives the connection back. Otherwise, if all connections of a pooler were held by
// readers that wait for their uploaders, no uploader could get one to record its part.
const uploadPatience = 2 * time.Second

// handOver waits until the uploader has taken the waiting part, if there is one.
func (e *encoder) handOver() error {
	if e.waiting == nil {
		return nil
	}
	if err := e.takeTurn(nil); err != nil {
		return err
	}
	return e.send(nil)
}

// takeTurn takes a turn for the waiting part, unless it has one. When takeTurn can receive from late, it
// returns without a turn.
func (e *encoder) takeTurn(late <-chan time.Time) error {
	if e.waiting.turn != nil {
		return nil
	}
	select {
	case e.turns <- struct{}{}:
		e.waiting.turn = e.turns
		return nil
	case <-late:
		return nil
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// send waits until there is a place for the upload of the waiting part, and hands the part to the uploader. When
// send can receive from late, it stops waiting.
func (e *encoder) send(late <-chan time.Time) error {
	place, err := e.takePlace(late)
	if place == nil {
		return err
	}
	e.waiting.place = place
	select {
	case e.queue <- *e.waiting: // the uploader takes the part at once, unless it has failed
		e.waiting = nil
		return nil
	case <-e.ctx.Done():
		<-place
		return e.ctx.Err()
	}
}

// takePlace waits for a place for an upload: the range's own one, or one that it shares with other ranges. A
// receive from the result gives the place back. When takePlace can receive from late, it returns nil. Only a part
// that is ready gets a place, because a range that waits for memories needs none.
func (e *encoder) takePlace(late <-chan time.Time) (chan struct{}, error) {
	select {
	case e.own <- struct{}{}: // first, so that a shared place is taken only if it is needed
		return e.own, nil
	default:
	}
	select {
	case e.own <- struct{}{}:
		return e.own, nil
	case e.shared <- struct{}{}:
		return e.shared, nil
	case <-late:
		return nil, nil
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
}

// flushLast hands over what is left in the buffer after the last memory.
func (e *encoder) flushLast() error {
	if e.size() > 0 {
		if err := e.flush(cut{}); err != nil {
			return err
		}
	}
	return e.handOver()
}

// wait waits until the uploader has handled every part, and returns how much the uploader has
// recorded.
func (e *encoder) wait() (export.Written, error) {
	close(e.queue)
	<-e.done
	e.cancel()
	return e.written, e.err
}
