package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"memexport/internal/service/format"
)

// A compressed part is a stretch of a DEFLATE stream (RFC 1951): whole blocks that end on a byte
// border and refer to nothing before them, and no final block. It can be inflated by itself, and
// parts one after the other are one stream, which a header and a trailer make one gzip member. Members
// one after the other would be gzip as well, but browsers read the first alone.

// deflateLevel is the fastest: compressing competes with reading and encoding for the processor.
const deflateLevel = flate.BestSpeed

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

// compressedBuffers are those of compressed parts that have been uploaded, for the next ones.
var compressedBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// deflate writes data to dst as a compressed part.
func deflate(dst *bytes.Buffer, data []byte) error {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(dst)
	_, err := w.Write(data)
	return errors.Join(err, w.Flush())
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflater reads what a compressed part was made of.
type inflater struct {
	io.ReadCloser
	stored io.Closer
}

func newInflater(stored io.ReadCloser) *inflater {
	r := inflaters.Get().(io.ReadCloser)
	r.(flate.Resetter).Reset(stored, nil) //nolint:errcheck // fails for no dictionary
	return &inflater{r, stored}
}

func (i *inflater) close() {
	inflaters.Put(i.ReadCloser)
	i.stored.Close() //nolint:errcheck // only read from
}

// inflateWhole writes what the stored part was made of to w: size bytes, neither more nor less.
func inflateWhole(w io.Writer, stored []byte, size int64, buffer []byte) error {
	r := newInflater(io.NopCloser(bytes.NewReader(stored)))
	defer r.close()
	n, err := io.CopyBuffer(w, r, buffer)
	if !errors.Is(err, io.ErrUnexpectedEOF) { // there is no final block
		return fmt.Errorf("it ends after %d bytes: %v", n, err)
	}
	if n != size {
		return fmt.Errorf("it holds %d bytes instead of %d", n, size)
	}
	return nil
}

// GzipFile is File as one gzip member (RFC 1952). It is false unless all parts are stored compressed,
// and the first does without a separator.
func (a *Archive) GzipFile(ctx context.Context, f *format.Format, parts []Part) (*File, bool) {
	if len(parts) == 0 {
		return nil, false
	}
	file := &File{ctx: ctx, archive: a}
	file.addLiteral("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff") // DEFLATE, without flags, time or system
	var crc uint32
	var size int64
	literal := func(s string) {
		if s == "" {
			return
		}
		crc, size = combineCRC(crc, crc32.ChecksumIEEE([]byte(s)), int64(len(s))), size+int64(len(s))
		file.addLiteral(storedBlock(s))
	}
	literal(f.Prefix)
	for i, p := range parts {
		separator, skip := p.opening(f, i == 0)
		if p.CompressedSize == 0 || skip > 0 { // of a compressed part no bytes can be left out
			return nil, false
		}
		literal(separator)
		crc, size = combineCRC(crc, p.CRC, p.Size), size+p.Size
		file.addObject(p.Object, p.CompressedSize)
	}
	literal(f.Suffix)
	trailer := []byte("\x03\x00") // an empty final block
	trailer = binary.LittleEndian.AppendUint32(trailer, crc)
	trailer = binary.LittleEndian.AppendUint32(trailer, uint32(size)) // modulo 2^32
	file.addLiteral(string(trailer))
	return file, true
}

// storedBlock is s, of less than 64 KiB, as a block of DEFLATE that is not compressed.
func storedBlock(s string) string {
	block := []byte{0}
	block = binary.LittleEndian.AppendUint16(block, uint16(len(s)))
	block = binary.LittleEndian.AppendUint16(block, ^uint16(len(s)))
	return string(append(block, s...))
}
