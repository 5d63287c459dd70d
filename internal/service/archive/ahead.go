package archive

import "context"

// openAhead is how many parts of a store on the network are opened before they are needed. A store needs 10
// to 100 ms to answer, and a part is read in 10 to 50 ms.
const openAhead = 4

// furtherAhead is how many parts all downloads of a process together open ahead beyond one each. Over HTTP/1.1 an
// opened part needs only buffers of the kernel, but over HTTP/2 up to 4 MiB of the process.
const furtherAhead = 16

// opener opens the objects of parts in order, and some of them before they are needed. In a directory it opens
// nothing, because a file opens without delay: the first Read of a File opens it.
type opener struct {
	archive *Archive
	ctx     context.Context
	cancel  context.CancelFunc
	parts   []Part       // not yet being opened
	opening []chan *File // in order
}

func (a *Archive) newOpener(ctx context.Context, parts []Part) *opener {
	o := &opener{archive: a, parts: parts}
	o.ctx, o.cancel = context.WithCancel(ctx)
	return o
}

// next returns the object of the next part. The caller must close the object, and must not call next after
// the last part.
func (o *opener) next() *File {
	if o.archive.dir != "" {
		return o.take()
	}
	for len(o.opening) <= openAhead && len(o.parts) > 0 {
		file, opened := o.take(), make(chan *File, 1)
		o.opening = append(o.opening, opened)
		go func() {
			file.openFirst()
			opened <- file
		}()
	}
	first := o.opening[0]
	o.opening = o.opening[1:]
	return <-first
}

func (o *opener) take() *File {
	part := o.parts[0]
	o.parts = o.parts[1:]
	return o.archive.object(o.ctx, part.Object, part.objectSize())
}

// close closes the objects that next has not returned.
func (o *opener) close() {
	o.cancel()
	for _, opened := range o.opening {
		(<-opened).Close() //nolint:errcheck // it was never read
	}
}

// ahead is a part that a File opens while it still reads a part before it.
type ahead struct {
	segment int           // its index in File.segments
	opened  chan *stream  // receives nil if opening fails
	place   chan struct{} // a receive gives back its place among furtherAhead; nil if it has none
}

// free gives back the place of the part.
func (a *ahead) free() {
	if a.place != nil {
		<-a.place
	}
}

// openNext begins to open the next parts if half of the current part has been read. So a download from a store on
// the network need not wait between two parts. openNext does not begin sooner, because many clients want only a
// piece of the file.
func (f *File) openNext() {
	lead := max(1, f.lead)
	if f.archive.dir != "" || len(f.ahead) >= lead || f.offset >= f.size {
		return
	}
	i := f.segmentAt(f.offset)
	if s := f.segments[i]; s.object != "" && f.offset-s.start < s.size/2 {
		return
	}
	if n := len(f.ahead); n > 0 {
		i = f.ahead[n-1].segment
	}
	for i++; i < len(f.segments) && len(f.ahead) < lead; i++ {
		next := f.segments[i]
		if next.object == "" {
			continue
		}
		var place chan struct{}
		if len(f.ahead) > 0 {
			select {
			case f.archive.further <- struct{}{}:
				place = f.archive.further
			default:
				return
			}
		}
		offset := next.skip
		if next.inflate {
			offset = 0
		}
		opened := make(chan *stream, 1)
		f.ahead = append(f.ahead, ahead{segment: i, opened: opened, place: place})
		go func() {
			s, _ := f.openObject(next, offset) // Read opens it again, and returns the error if there still is one
			opened <- s
		}()
	}
}

// openedAhead returns the object of a segment, from the segment's start on, if openNext has opened it. Otherwise it
// returns nil. If it must wait for the object, the client reads faster than the store opens parts. Then openNext
// opens twice as many ahead from now on, up to openAhead.
func (f *File) openedAhead(segment int) *stream {
	if len(f.ahead) == 0 || f.ahead[0].segment != segment {
		return nil
	}
	first := f.ahead[0]
	f.ahead = f.ahead[1:]
	defer first.free()
	select {
	case s := <-first.opened:
		return s
	default:
		f.lead = min(2*max(1, f.lead), openAhead)
		return <-first.opened
	}
}

// dropAhead closes the parts that openNext has opened, as soon as they are open.
func (f *File) dropAhead() {
	for _, a := range f.ahead {
		go func() {
			if s := <-a.opened; s != nil {
				s.close()
			}
			a.free()
		}()
	}
	f.ahead = nil
}
