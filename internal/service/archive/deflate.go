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

// A compressed part is a section of a DEFLATE stream (RFC 1951): complete blocks that end on a byte
// boundary and do not refer to earlier parts, without a final block. Each part can be inflated on
// its own, and consecutive parts form one stream. With a header and a trailer they become a single
// gzip member. Several gzip members in a row would be valid too, but browsers read only the first.

// deflateLevel is the fastest level, because compression competes with reading and encoding for the CPU.
const deflateLevel = flate.BestSpeed

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic(err) // only an unknown level fails
	}
	return w
}}

// compressedBuffers holds buffers for compressed parts, reused from one part to the next.
var compressedBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// deflate appends data to dst as a compressed part.
func deflate(dst *bytes.Buffer, data []byte) error {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(dst)
	_, err := w.Write(data)
	return errors.Join(err, w.Flush())
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflater reads the uncompressed bytes of a compressed part.
type inflater struct {
	io.ReadCloser           // from the pool inflaters
	compressed    io.Closer // the source of the compressed bytes
}

func newInflater(compressed io.ReadCloser) *inflater {
	r := inflaters.Get().(io.ReadCloser)
	r.(flate.Resetter).Reset(compressed, nil) //nolint:errcheck // never fails without a dictionary
	return &inflater{ReadCloser: r, compressed: compressed}
}

func (i *inflater) close() {
	inflaters.Put(i.ReadCloser)
	i.compressed.Close() //nolint:errcheck // closing after reading cannot lose data
}

// inflateWhole writes the uncompressed bytes of a compressed part to w. It fails unless the part has
// exactly size uncompressed bytes.
func inflateWhole(w io.Writer, compressed []byte, size int64, buffer []byte) error {
	r := newInflater(io.NopCloser(bytes.NewReader(compressed)))
	defer r.close()
	n, err := io.CopyBuffer(w, r, buffer)
	if !errors.Is(err, io.ErrUnexpectedEOF) { // a part has no final block, so it always ends with this error
		return fmt.Errorf("it ends after %d bytes: %v", n, err)
	}
	if n != size {
		return fmt.Errorf("it holds %d bytes instead of %d", n, size)
	}
	return nil
}

// GzipFile returns a file that delivers the same bytes as File, compressed as one gzip member (RFC
// 1952), without recompressing the parts. It returns false if a part is stored uncompressed, if the
// first part starts with a separator, or if there are no parts.
func (a *Archive) GzipFile(ctx context.Context, f *format.Format, parts []Part) (*File, bool) {
	if len(parts) == 0 {
		return nil, false
	}
	file := &File{ctx: ctx, archive: a}
	file.addLiteral("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff") // DEFLATE, no flags, no time, unknown system
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
		if p.CompressedSize == 0 || skip > 0 { // bytes cannot be skipped in a compressed part
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

// storedBlock returns s, which must be shorter than 64 KiB, as an uncompressed DEFLATE block.
func storedBlock(s string) string {
	block := []byte{0}
	block = binary.LittleEndian.AppendUint16(block, uint16(len(s)))
	block = binary.LittleEndian.AppendUint16(block, ^uint16(len(s)))
	return string(append(block, s...))
}
