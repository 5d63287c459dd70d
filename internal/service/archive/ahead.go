package archive

import "context"

// openAhead is how many parts of a store on the network are opened before they are needed. A store needs 10
// to 100 ms to answer, and a part is read in 10 to 50 ms. An opened part needs only buffers of the kernel.
const openAhead = 4

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

// ahead is a part that a File opens while it still reads the part before.
type ahead struct {
	object string
	offset int64        // in the object
	opened chan *stream // receives nil if opening fails
}

// openNext begins to open the next part if half of the current part has been read. So a download from a store on
// the network need not wait between two parts. openNext does not begin sooner, because many clients want only a
// piece of the file.
func (f *File) openNext() {
	if f.archive.dir != "" || f.ahead != nil || f.offset >= f.size {
		return
	}
	i := f.segmentAt(f.offset)
	if s := f.segments[i]; s.object != "" && f.offset-s.start < s.size/2 {
		return
	}
	for _, next := range f.segments[i+1:] {
		if next.object == "" {
			continue
		}
		a := &ahead{object: next.object, offset: next.skip, opened: make(chan *stream, 1)}
		if next.inflate {
			a.offset = 0
		}
		f.ahead = a
		go func() {
			opened, _ := f.openObject(next, a.offset) // Read opens it again, and returns the error if there still is one
			a.opened <- opened
		}()
		return
	}
}

// openedAhead returns the object of s, if openNext has opened it at the given offset, or nil.
func (f *File) openedAhead(s segment, offset int64) *stream {
	a := f.ahead
	if a == nil || a.object != s.object || a.offset != offset {
		f.dropAhead()
		return nil
	}
	f.ahead = nil
	return <-a.opened
}

// dropAhead closes the part that openNext has opened, as soon as it is open.
func (f *File) dropAhead() {
	a := f.ahead
	if a == nil {
		return
	}
	f.ahead = nil
	go func() {
		if s := <-a.opened; s != nil {
			s.close()
		}
	}()
}
