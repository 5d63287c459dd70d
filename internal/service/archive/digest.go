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

// ErrCorrupt means that a stored part is not, byte for byte, the part that was written.
var ErrCorrupt = errors.New("a stored part differs from what was written")

// Digest is an unfinished SHA-256 of a file: it covers the first Parts parts. It can be stored as
// JSON between calls, so that one activity continues where another one stopped. The zero value
// starts a new file.
type Digest struct {
	State []byte `json:"state"` // state of crypto/sha256; empty if nothing has been hashed
	Parts int    `json:"parts"` // number of parts hashed
	Size  int64  `json:"size"`  // number of bytes hashed
}

// Extend reads the next parts back from the store, compares each with its checksum, and returns the
// digest that also covers these parts. It returns ErrCorrupt for a part that differs.
func (a *Archive) Extend(ctx context.Context, f *format.Format, d Digest, parts []Part) (Digest, error) {
	sum, err := d.resume(f)
	if err != nil {
		return d, err
	}
	buffer := make([]byte, 256<<10) // small enough to be hashed while it is in the CPU's cache
	objects := a.newOpener(ctx, parts)
	defer objects.close()
	for _, part := range parts {
		literal, skip := part.opening(f, d.Parts == 0)
		d.write(sum, literal)
		if err := copyPart(&skipWriter{Writer: sum, n: skip}, objects.next(), part, buffer); err != nil {
			return d, err
		}
		d.Size += part.Size - skip
		d.Parts++
	}
	d.State, err = sum.(encoding.BinaryMarshaler).MarshalBinary()
	return d, err
}

// Finish returns the SHA-256 and the size in bytes of the whole file, suffix included. It does not
// change d.
func (d Digest) Finish(f *format.Format) (sha []byte, size int64, err error) {
	sum, err := d.resume(f)
	if err != nil {
		return nil, 0, err
	}
	d.write(sum, f.Suffix)
	return sum.Sum(nil), d.Size, nil
}

// resume restores the state of the hash, or starts it with the format's prefix.
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
	io.WriteString(sum, literal) //nolint:errcheck // writing to a hash never fails
	d.Size += int64(len(literal))
}

// skipWriter drops the first n bytes and passes on the rest.
type skipWriter struct {
	io.Writer
	n int64
}

func (s *skipWriter) Write(p []byte) (int, error) {
	skipped := min(s.n, int64(len(p)))
	s.n -= skipped
	n, err := s.Writer.Write(p[skipped:])
	return int(skipped) + n, err
}

// copyPart writes the uncompressed bytes of a part, whose object is file, to w and verifies the checksums
// that were recorded for the part. It closes file. If copyPart returns an error, it may already have written
// some bytes to w.
func copyPart(w io.Writer, file *File, part Part, buffer []byte) error {
	defer file.Close()
	checksum, stored := xxhash.New(), w
	compressed := compressedBuffers.Get().(*bytes.Buffer)
	defer compressedBuffers.Put(compressed)
	if part.CompressedSize > 0 {
		compressed.Reset()
		stored = compressed
	}
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
		return fmt.Errorf("%w: %s: the CRC-32 differs", ErrCorrupt, part.Object)
	}
	return nil
}
