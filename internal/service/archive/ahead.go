package archive

import "context"

// openAhead is how many parts of a store on the network are opened before they are needed. A store needs 10
// to 100 ms to answer, and a part is read in 10 to 50 ms. An opened part needs only buffers of the kernel.
const openAhead = 4

// opener opens the objects of parts one after the other, and some of them ahead. The files of a directory open
// at once, so it leaves them to Read.
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

// next returns the object of the next part, which the caller must close. There must be one.
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
