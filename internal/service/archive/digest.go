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

	"memexport/internal/service/format"
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
	buffer := make([]byte, 256<<10) // small enough to be hashed from the processor's cache
	for _, part := range parts {
		literal, skip := part.opening(f, d.Parts == 0)
		d.write(sum, literal)
		if err := a.copyPart(ctx, &skipping{sum, skip}, part, buffer); err != nil {
			return d, err
		}
		d.Size += part.Size - skip
		d.Parts++
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

// skipping writes what follows the first n bytes.
type skipping struct {
	io.Writer
	n int64
}

func (s *skipping) Write(p []byte) (int, error) {
	skipped := min(s.n, int64(len(p)))
	s.n -= skipped
	n, err := s.Writer.Write(p[skipped:])
	return int(skipped) + n, err
}

// copyPart writes the bytes that a part has in the file to w, and compares its object with the checksum.
func (a *Archive) copyPart(ctx context.Context, w io.Writer, part Part, buffer []byte) error {
	checksum, stored := xxhash.New(), w
	compressed := compressedBuffers.Get().(*bytes.Buffer)
	defer compressedBuffers.Put(compressed)
	if part.CompressedSize > 0 {
		compressed.Reset()
		stored = compressed
	}
	file := a.object(ctx, part.Object, part.objectSize()) // goes on where a stream breaks
	defer file.Close()
	if _, err := io.CopyBuffer(io.MultiWriter(stored, checksum), file, buffer); err != nil {
		return err
	}
	if checksum.Sum64() != part.Checksum {
		return fmt.Errorf("%w: %s", ErrCorrupt, part.Object)
	}
	if part.CompressedSize == 0 {
		return nil
	}
	crc := crc32.NewIEEE()
	if err := inflateWhole(io.MultiWriter(w, crc), compressed.Bytes(), part.Size, buffer); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, part.Object, err)
	}
	if crc.Sum32() != part.CRC {
		return fmt.Errorf("%w: %s: its CRC differs", ErrCorrupt, part.Object)
	}
	return nil
}
