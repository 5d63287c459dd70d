package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/cespare/xxhash/v2"

	"memexport/internal/format"
)

// ErrCorrupt is a part that is not, byte for byte, what was stored.
var ErrCorrupt = errors.New("a stored part differs from what was written")

// Digest is the SHA-256 of a file's beginning, and how much of it that is. Between two calls it may
// be kept as JSON: the digest of a large file is continued from activity to activity.
type Digest struct {
	State []byte `json:"state"` // of crypto/sha256; empty before the prefix
	Parts int    `json:"parts"`
	Size  int64  `json:"size"` // bytes
}

// Extend reads the parts that follow back from the store, compares each with its checksum
// (ErrCorrupt) and returns the digest of the file up to and including them.
func (a *Archive) Extend(ctx context.Context, f *format.Format, d Digest, parts []Part) (Digest, error) {
	sum, err := d.resume(f)
	if err != nil {
		return d, err
	}
	type fetched struct {
		data []byte
		err  error
	}
	// One part is fetched while another is hashed; two buffers go round.
	queue, free := make(chan fetched, 2), make(chan []byte, 2) // as many places as buffers: a send never blocks
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range cap(free) {
		free <- nil
	}
	go func() {
		defer close(queue)
		for _, part := range parts {
			select {
			case buffer := <-free:
				data, err := a.fetch(ctx, part, buffer)
				queue <- fetched{data, err}
			case <-ctx.Done():
				return
			}
		}
	}()
	for _, part := range parts {
		next, ok := <-queue
		if !ok {
			return d, ctx.Err()
		}
		if next.err != nil {
			return d, next.err
		}
		if d.Parts > 0 && !part.Continues {
			d.write(sum, f.Separator)
		}
		sum.Write(next.data)
		d.Size += part.Size
		d.Parts++
		free <- next.data[:0]
	}
	d.State, err = sum.(encoding.BinaryMarshaler).MarshalBinary()
	return d, err
}

// Finish returns the SHA-256 and the size of the whole file.
func (d Digest) Finish(f *format.Format) (sha []byte, size int64, err error) {
	sum, err := d.resume(f)
	if err != nil {
		return nil, 0, err
	}
	d.write(sum, f.Suffix)
	return sum.Sum(nil), d.Size, nil
}

func (d *Digest) resume(f *format.Format) (hash.Hash, error) {
	sum := sha256.New()
	if len(d.State) == 0 {
		d.write(sum, f.Prefix)
		return sum, nil
	}
	if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(d.State); err != nil {
		return nil, fmt.Errorf("resume a digest: %w", err)
	}
	return sum, nil
}

func (d *Digest) write(sum hash.Hash, literal string) {
	io.WriteString(sum, literal) //nolint:errcheck // a hash never fails
	d.Size += int64(len(literal))
}

// fetch reads a part back into buffer, which grows if it has to, and compares it with its checksum.
func (a *Archive) fetch(ctx context.Context, part Part, buffer []byte) ([]byte, error) {
	if int64(cap(buffer)) < part.Size {
		buffer = make([]byte, part.Size)
	}
	buffer = buffer[:part.Size]
	stored := buffer
	if part.CompressedSize > 0 {
		compressed := compressedBuffers.Get().(*bytes.Buffer)
		defer compressedBuffers.Put(compressed)
		compressed.Reset()
		compressed.Grow(int(part.CompressedSize))
		stored = compressed.AvailableBuffer()[:part.CompressedSize]
	}
	file := a.object(ctx, part.Object, part.objectSize()) // goes on where a stream breaks
	defer file.Close()
	if _, err := io.ReadFull(file, stored); err != nil {
		return nil, err
	}
	if xxhash.Sum64(stored) != part.Checksum {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, part.Object)
	}
	if part.CompressedSize > 0 {
		if err := inflateWhole(buffer, stored); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, part.Object, err)
		}
		if crc32.ChecksumIEEE(buffer) != part.CRC {
			return nil, fmt.Errorf("%w: %s: its CRC differs", ErrCorrupt, part.Object)
		}
	}
	return buffer, nil
}
