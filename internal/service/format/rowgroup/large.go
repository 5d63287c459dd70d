package rowgroup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"memexport/internal/service/memory"
)

// large is the row group of one memory whose text comes in pieces. The text is never held as a whole.
// The page header precedes the text in the file and contains the length of the compressed page. So
// the text is written as a zstd frame of uncompressed blocks, whose length is known in advance.
type large struct {
	entry []byte
	rest  []byte // the row group's bytes behind the text
	left  int    // bytes of the page that are still to come
	block int    // bytes of the current block that are still to come
}

// blockSize is the size in bytes of the blocks of a zstd frame, the largest that zstd allows.
const blockSize = 128 << 10

// appendFrameHeader appends the header of a zstd frame (RFC 8878, section 3.1.1.1) for content of the
// given size in bytes: the magic number, a descriptor that announces a content size in four bytes,
// and a window of blockSize.
func appendFrameHeader(dst []byte, size int) []byte {
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x38)
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// frameSize returns the size in bytes of a frame whose content has the given size.
func frameSize(size int) int {
	const frameHeader, blockHeader = 10, 3
	return frameHeader + (size+blockSize-1)/blockSize*blockHeader + size
}

// append appends a piece of the frame's content, in blocks. A block begins with three bytes, which
// contain, from the highest bit to the lowest, the size of the block, its type in two bits (0 is "not
// compressed"), and a bit that marks the last block.
func (l *large) append(dst, piece []byte) []byte {
	for len(piece) > 0 {
		if l.block == 0 {
			l.block = min(blockSize, l.left)
			header := uint32(l.block) << 3
			if l.block == l.left {
				header |= 1
			}
			dst = append(dst, byte(header), byte(header>>8), byte(header>>16))
		}
		n := min(l.block, len(piece))
		if n == 0 {
			break // the text is longer than announced; check reports that
		}
		dst = append(dst, piece[:n]...)
		piece = piece[n:]
		l.block -= n
		l.left -= n
	}
	l.left -= len(piece)
	return dst
}

// check returns an error if the text did not have the announced length.
func (l *large) check() error {
	if l.left != 0 {
		return fmt.Errorf("an oversize text has %d bytes less than announced", l.left)
	}
	return nil
}

// Before appends the beginning of an oversize memory's row group, up to the text.
func (e *Encoder) Before(dst []byte, m *memory.Memory) []byte {
	if e.group != nil {
		e.fail(errors.New("an oversize memory needs a row group of its own"))
		return dst
	}
	// The row group is made from a template: the library encodes the memory with an empty text, and
	// insertText inserts the real one.
	g := newGroup()
	e.write(g, m, []byte{})
	if e.err != nil {
		return dst
	}
	template, r, err := g.finish(nil)
	if err == nil {
		dst, e.large, err = insertText(dst, template, r, m.Size)
	}
	e.fail(err)
	return dst
}

// Text appends a piece of an oversize memory's text.
func (e *Encoder) Text(dst, piece []byte) []byte {
	if e.large == nil {
		return dst
	}
	return e.large.append(dst, piece)
}

// After appends the part of an oversize memory's row group that follows the text.
func (e *Encoder) After(dst []byte, _ *memory.Memory) []byte {
	if e.large == nil {
		return dst
	}
	return append(dst, e.large.rest...)
}

// insertText prepares the insertion of a text of the given size in bytes into template, an encoded
// row group whose only text is empty. It appends the bytes of the row group that precede the text,
// returns the rest in a large, and changes r to match.
func insertText(dst, template []byte, r *rowGroup, size int64) ([]byte, *large, error) {
	text := &r.Columns[columnMemory].MetaData
	start := int(text.DataPageOffset)
	end := start + int(text.TotalCompressedSize)

	var header format.PageHeader
	protocol := new(thrift.CompactProtocol)
	if err := thrift.NewDecoder(protocol.NewReaderFromBytes(template[start:end])).Decode(&header); err != nil {
		return dst, nil, fmt.Errorf("read a page header: %w", err)
	}
	// The page consists of the definition levels, the length of the text in four bytes, and the text.
	page, err := compression.Decode(nil, template[end-int(header.CompressedPageSize):end])
	if err != nil {
		return dst, nil, fmt.Errorf("read a page: %w", err)
	}
	const length = 4
	content := len(page) + int(size)
	if frameSize(content) > math.MaxInt32 {
		return dst, nil, fmt.Errorf("a text has %d bytes, more than a page of Parquet can have", size)
	}
	levels := page[:len(page)-length]
	header.UncompressedPageSize = int32(content)
	header.CompressedPageSize = int32(frameSize(content))
	header.CRC = 0 // no checksum, because the checksum would precede the text in the file
	encoded, err := thrift.Marshal(protocol, &header)
	if err != nil {
		return dst, nil, fmt.Errorf("write a page header: %w", err)
	}

	r.resize(columnMemory, int64(len(encoded)+content), int64(len(encoded)+frameSize(content)))
	text.SizeStatistics.UnencodedByteArrayDataBytes += size
	entry, err := r.marshal()
	l := &large{entry: entry, rest: bytes.Clone(template[end:]), left: content}
	dst = append(append(dst, template[:start]...), encoded...)
	dst = appendFrameHeader(dst, content)
	dst = l.append(dst, binary.LittleEndian.AppendUint32(levels, uint32(size)))
	return dst, l, err
}
