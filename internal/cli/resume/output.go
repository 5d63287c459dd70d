package resume

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Output is where a download writes: a partial file, or a stream, which cannot take bytes back.
type Output struct {
	w         io.Writer
	partial   *Partial // nil for a stream
	etag      string   // of the file that the bytes are the beginning of
	size      int64    // bytes so far
	sum       hash.Hash
	inherited bool  // an earlier process wrote some of the bytes
	received  int64 // bytes that this process wrote, including those that it dropped later
}

// ToStream returns an Output that writes to w. The download continues after a break, but it fails
// if the file changes after the first byte was written.
func ToStream(w io.Writer) *Output { return &Output{w: w, sum: sha256.New()} }

// ToPartial returns an Output that appends to a partial file. It reads the file for the digest.
func ToPartial(p *Partial) (*Output, error) {
	o := &Output{w: p.file, partial: p, etag: p.State.ETag, sum: sha256.New()}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var err error
	if o.size, err = io.Copy(o.sum, p.file); err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	o.inherited = o.size > 0
	return o, nil
}

func (o *Output) digest() string { return hex.EncodeToString(o.sum.Sum(nil)) }

// Write appends b.
func (o *Output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.sum.Write(b[:n])
	o.size += int64(n)
	o.received += int64(n)
	return n, err
}

// errStream is the error for a stream that would have to start over.
var errStream = errors.New("the file changed after its beginning had been written to a stream; download it anew")

// restart drops all bytes. The bytes that follow belong to the file with this ETag.
func (o *Output) restart(etag string) error {
	if o.partial == nil {
		if o.size > 0 {
			return &Mismatch{Err: errStream}
		}
		o.etag = etag
		return nil
	}
	if o.size > 0 {
		if err := o.partial.file.Truncate(0); err != nil {
			return err
		}
		if _, err := o.partial.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	// The ETag is saved after the truncation, so that a crash never leaves it beside another file's bytes.
	o.etag, o.size, o.inherited = etag, 0, false
	o.sum.Reset()
	o.partial.State.ETag = etag
	return o.partial.Save()
}
