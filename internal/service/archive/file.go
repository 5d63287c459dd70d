package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"memexport/internal/service/format"
)

// File is the one file that the parts of an export make: prefix, parts with separators between
// them, suffix. It reads lazily: nothing is opened before the first Read, and a Seek costs nothing.
// It is not for use by several goroutines at once.
type File struct {
	ctx      context.Context
	archive  *Archive
	segments []segment
	size     int64

	offset   int64
	stream   *stream   // of the part that offset is in, if open
	inflater *inflater // the same, if the part is compressed
}

// segment is a stretch of the file: a part, or bytes that the format puts around parts.
type segment struct {
	start   int64
	size    int64
	literal string // if object is ""
	object  string
	stored  int64 // bytes of the object
	inflate bool  // the object is a compressed part, which is served as it was
	skip    int64 // bytes of the part that precede the stretch
}

// File returns the file that the parts make in a format. Its reads end with ctx.
func (a *Archive) File(ctx context.Context, f *format.Format, parts []Part) *File {
	file := &File{ctx: ctx, archive: a}
	file.addLiteral(f.Prefix)
	for i, p := range parts {
		literal, skip := p.opening(f, i == 0)
		file.addLiteral(literal)
		file.addPart(p, skip)
	}
	file.addLiteral(f.Suffix)
	return file
}

func (f *File) addLiteral(s string) { f.add(segment{literal: s, size: int64(len(s))}) }

func (f *File) addPart(p Part, skip int64) {
	f.add(segment{object: p.Object, size: p.Size - skip, stored: p.objectSize(), inflate: p.CompressedSize > 0, skip: skip})
}

// addObject adds an object as it is stored.
func (f *File) addObject(key string, size int64) {
	f.add(segment{object: key, size: size, stored: size})
}

func (f *File) add(s segment) {
	if s.size == 0 {
		return
	}
	s.start = f.size
	f.segments = append(f.segments, s)
	f.size += s.size
}

// Size is the length of the whole file in bytes.
func (f *File) Size() int64 { return f.size }

// Seek implements io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.size
	default:
		return 0, fmt.Errorf("seek from %d, which is no place", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	if offset != f.offset {
		f.closeStream()
		f.offset = offset
	}
	return offset, nil
}

// maxReopens is how often in a row a part is opened again after its stream broke without a byte.
const maxReopens = 3

// Read implements io.Reader. It fails, and never ends early, if a part is gone or has another
// length than was recorded. A stream that breaks is opened again where it broke.
func (f *File) Read(p []byte) (int, error) {
	if f.offset >= f.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.ctx.Err(); err != nil { // a file:// bucket does not look at it
		return 0, err
	}
	i := sort.Search(len(f.segments), func(i int) bool { return f.segments[i].start > f.offset }) - 1
	s := f.segments[i]
	within := f.offset - s.start
	if s.object == "" {
		n := copy(p, s.literal[within:])
		f.offset += int64(n)
		return n, nil
	}
	p = p[:min(int64(len(p)), s.size-within)]
	if s.inflate {
		return f.inflate(p, s, within)
	}
	var err error
	for range maxReopens {
		if f.stream == nil {
			if err = f.open(s, within); err != nil {
				return 0, err
			}
		}
		var n int
		n, err = f.stream.Read(p)
		if n > 0 {
			f.offset += int64(n)
			if err != nil || within+int64(n) == s.size {
				f.closeStream()
			}
			return n, nil
		}
		f.closeStream()
		if err == io.EOF { // before its time, which must not look like an end
			err = io.ErrUnexpectedEOF
		}
		if f.ctx.Err() != nil {
			break
		}
	}
	return 0, fmt.Errorf("read the part %s: %w", s.object, errors.Join(err, f.ctx.Err()))
}

// inflate reads on in a compressed part, or begins to: from its start, wherever that is in the part.
func (f *File) inflate(p []byte, s segment, within int64) (n int, err error) {
	if f.inflater == nil {
		f.inflater = newInflater(f.archive.object(f.ctx, s.object, s.stored))
		_, err = io.CopyN(io.Discard, f.inflater, s.skip+within)
	}
	if err == nil {
		n, err = f.inflater.Read(p)
	}
	if n > 0 {
		f.offset += int64(n)
		if within+int64(n) == s.size {
			f.closeStream()
		}
		return n, nil
	}
	f.closeStream()
	if err == io.EOF { // before its time, which must not look like an end
		err = io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("inflate the part %s: %w", s.object, err)
}

// object is the file that is one object, as it is stored.
func (a *Archive) object(ctx context.Context, key string, size int64) *File {
	file := &File{ctx: ctx, archive: a}
	file.addObject(key, size)
	return file
}

// open opens a part's object at an offset and checks its length against what was recorded.
func (f *File) open(s segment, within int64) error {
	stream, err := f.archive.openStream(f.ctx, s.object, s.skip+within)
	if err != nil {
		return fmt.Errorf("open the part %s: %w", s.object, err)
	}
	if stream.size() != s.stored {
		stream.close()
		return fmt.Errorf("%w: %s has %d bytes instead of %d", ErrCorrupt, s.object, stream.size(), s.stored)
	}
	f.stream = stream
	return nil
}

// Close lets go of what is open; the File stays usable.
func (f *File) Close() error {
	f.closeStream()
	return nil
}

func (f *File) closeStream() {
	if f.inflater != nil {
		f.inflater.close()
		f.inflater = nil
	}
	if f.stream != nil {
		f.stream.close()
		f.stream = nil
	}
}
