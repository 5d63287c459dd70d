package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Output is where the bytes of a file go, in order: a partial file, or a stream that cannot be taken
// back.
type Output struct {
	w         io.Writer
	partial   *Partial // nil for a stream
	etag      string   // of the file that the bytes are the beginning of
	size      int64
	sum       hash.Hash
	inherited bool  // some of the bytes are of an earlier process
	received  int64 // bytes that were written by this process, dropped ones included
}

// ToStream writes to a stream: the download goes on where it broke off, but cannot start over.
func ToStream(w io.Writer) *Output { return &Output{w: w, sum: sha256.New()} }

// ToPartial goes on with a partial file. It reads what is there, for the digest.
func ToPartial(p *Partial) (*Output, error) {
	o := &Output{w: p.file, partial: p, etag: p.State.ETag, sum: sha256.New()}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var err error
	if o.size, err = io.Copy(o.sum, p.file); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.path, err)
	}
	o.inherited = o.size > 0
	return o, nil
}

// Size is how many bytes there are so far.
func (o *Output) Size() int64 { return o.size }

func (o *Output) digest() string { return hex.EncodeToString(o.sum.Sum(nil)) }

func (o *Output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.sum.Write(p[:n])
	o.size += int64(n)
	o.received += int64(n)
	return n, err
}

// errStream is why a stream cannot start over.
var errStream = errors.New("the file changed after its beginning had been written to a stream")

// restart drops all bytes; the next ones are of the file with this ETag.
func (o *Output) restart(etag string) error {
	if o.partial == nil {
		if o.size > 0 {
			return &Mismatch{errStream}
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
	// The bytes go before the new validator comes: it must never stand beside those of another file.
	o.etag, o.size, o.inherited = etag, 0, false
	o.sum.Reset()
	o.partial.State.ETag = etag
	return o.partial.Save()
}
