package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"memexport/internal/service/format"
)

// File reads the parts of an export as one file: the format's prefix, the parts with separators
// between them, and the suffix. It is lazy: nothing is opened before the first Read, and Seek sends
// no request. A File must not be used by several goroutines at once.
type File struct {
	ctx      context.Context
	archive  *Archive
	segments []segment
	size     int64

	offset   int64
	stream   *stream   // the open connection, if offset is in an uncompressed part
	inflater *inflater // the open connection, if offset is in a compressed part
	ahead    []ahead   // the next parts that are being opened, in order
	lead     int       // how many parts to open ahead; 0 means one
}

// segment is a section of the file: a part, or a literal that the format puts around parts.
type segment struct {
	start      int64  // offset in the file
	size       int64  // bytes in the file
	literal    string // the bytes of the segment, if object is empty
	object     string // key in the bucket
	objectSize int64  // bytes of the object
	inflate    bool   // the object is compressed and must be inflated
	skip       int64  // leading bytes of the part that the file leaves out
}

// File returns the file that consists of the given parts in the given format. Reads fail once ctx has
// ended.
func (a *Archive) File(ctx context.Context, f *format.Format, parts []Part) *File {
	file := &File{ctx: ctx, archive: a, segments: make([]segment, 0, len(parts)+2)} // a prefix and a suffix
	file.addLiteral(f.Prefix)
	for i, p := range parts {
		literal, skip := p.opening(f, i == 0)
		file.addLiteral(literal)
		file.addPart(p, skip)
	}
	file.addLiteral(f.Suffix)
	return file
}

// Another returns a file of the same parts that can be read independently of f, even in another goroutine.
// Both files share the list of parts.
func (f *File) Another(ctx context.Context) *File {
	return &File{ctx: ctx, archive: f.archive, segments: f.segments, size: f.size}
}

func (f *File) addLiteral(s string) { f.add(segment{literal: s, size: int64(len(s))}) }

func (f *File) addPart(p Part, skip int64) {
	f.add(segment{object: p.Object, size: p.Size - skip, objectSize: p.objectSize(), inflate: p.CompressedSize > 0, skip: skip})
}

// addObject adds the bytes of an object as they are stored.
func (f *File) addObject(key string, size int64) {
	f.add(segment{object: key, size: size, objectSize: size})
}

func (f *File) add(s segment) {
	if s.size == 0 {
		return
	}
	s.start = f.size
	f.segments = append(f.segments, s)
	f.size += s.size
}

// Size returns the length of the whole file in bytes.
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
		return 0, fmt.Errorf("seek with the unknown whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	if offset != f.offset {
		f.closeStream()
		f.dropAhead()
		f.offset = offset
	}
	return offset, nil
}

// maxAttempts is how often Read opens a part before it gives up. A connection that delivered bytes
// before it broke does not count.
const maxAttempts = 3

// Read implements io.Reader. If a part is missing or its length differs from the recorded one, Read
// returns an error; it never returns io.EOF early. If a connection breaks, Read opens a new
// connection at the current offset.
func (f *File) Read(p []byte) (int, error) {
	if f.offset >= f.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.ctx.Err(); err != nil { // fileblob does not check the context
		return 0, err
	}
	i := f.segmentAt(f.offset)
	s := f.segments[i]
	within := f.offset - s.start
	if s.object == "" {
		n := copy(p, s.literal[within:])
		f.offset += int64(n)
		return n, nil
	}
	p = p[:min(int64(len(p)), s.size-within)]
	if s.inflate {
		return f.inflate(p, i, within)
	}
	var err error
	for range maxAttempts {
		if f.stream == nil {
			if err = f.open(i, within); err != nil {
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
			f.openNext()
			return n, nil
		}
		f.closeStream()
		if err == io.EOF { // the connection ended before the end of the part
			err = io.ErrUnexpectedEOF
		}
		if f.ctx.Err() != nil {
			break
		}
	}
	return 0, fmt.Errorf("read the part %s: %w", s.object, errors.Join(err, f.ctx.Err()))
}

// Send writes at most limit bytes of the file to w, from the current offset on. It uses io.Copy from an
// *os.File, so that a connection can let the kernel send the bytes.
//
// Send returns 0 and no error if the caller must use Read instead. That is so if the store is not a directory,
// if the next bytes belong to a literal or to a compressed part, or if Read has read nothing of their part yet.
// If the file of the part is too short, the error is an io.ErrUnexpectedEOF.
func (f *File) Send(w io.Writer, limit int64) (n int64, err error) {
	// The first bytes of a part are left to Read, because only Read notices a disk that hangs.
	if f.stream == nil || f.stream.file == nil || !f.stream.begun || f.stream.reader == nil {
		return 0, nil
	}
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	s := f.segments[f.segmentAt(f.offset)]
	size := min(limit, s.start+s.size-f.offset)
	n, err = io.Copy(w, &io.LimitedReader{R: f.stream.file, N: size})
	f.offset += n
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil || f.offset == s.start+s.size {
		f.closeStream()
	}
	if err != nil {
		err = fmt.Errorf("send the part %s: %w", s.object, err)
	}
	return n, err
}

// segmentAt returns the index of the segment that contains the offset.
func (f *File) segmentAt(offset int64) int {
	return sort.Search(len(f.segments), func(i int) bool { return f.segments[i].start > offset }) - 1
}

// inflate reads from a compressed part. DEFLATE has no random access, so after a Seek inflate reads
// the part from its start and discards the bytes before the offset.
func (f *File) inflate(p []byte, segment int, within int64) (n int, err error) {
	s := f.segments[segment]
	if f.inflater == nil {
		object := f.archive.object(f.ctx, s.object, s.objectSize)
		object.stream = f.openedAhead(segment)
		f.inflater = newInflater(object)
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
		f.openNext()
		return n, nil
	}
	f.closeStream()
	if err == io.EOF { // the compressed data ended before the end of the part
		err = io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("inflate the part %s: %w", s.object, err)
}

// object returns a File of the stored bytes of a single object.
func (a *Archive) object(ctx context.Context, key string, size int64) *File {
	file := &File{ctx: ctx, archive: a}
	file.addObject(key, size)
	return file
}

// openFirst opens the first segment of the file, which must be an object, before it is read. If that fails,
// Read opens it again.
func (f *File) openFirst() {
	if len(f.segments) > 0 {
		_ = f.open(0, 0) // Read returns the error, if opening fails again
	}
}

// open opens a part's object at an offset within the segment.
func (f *File) open(segment int, within int64) (err error) {
	if f.stream = f.openedAhead(segment); f.stream == nil {
		s := f.segments[segment]
		f.stream, err = f.openObject(s, s.skip+within)
	}
	return err
}

// openObject opens a part's object at an offset in the object. It checks the object's length.
func (f *File) openObject(s segment, offset int64) (*stream, error) {
	opened, err := f.archive.openStream(f.ctx, s.object, offset)
	if err != nil {
		return nil, fmt.Errorf("open the part %s: %w", s.object, err)
	}
	if opened.size() != s.objectSize {
		opened.close()
		return nil, fmt.Errorf("%w: %s has %d bytes instead of %d", ErrCorrupt, s.object, opened.size(), s.objectSize)
	}
	return opened, nil
}

// Close closes the connections to the store. The File stays usable.
func (f *File) Close() error {
	f.closeStream()
	f.dropAhead()
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
