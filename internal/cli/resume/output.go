package resume

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Output is where a download is written to: a partial file, or a stream. A stream cannot start
// over.
type Output struct {
	w         io.Writer
	partial   *Partial // nil for a stream
	etag      string   // ETag of the file that the bytes belong to
	size      int64    // number of bytes so far
	sum       hash.Hash
	inherited bool // whether an earlier process wrote some of the bytes
}

// ToStream returns an Output that writes to w. If the connection breaks, the download can continue. The
// download fails if the file changes after the first byte was written.
func ToStream(w io.Writer) *Output { return &Output{w: w, sum: sha256.New()} }

// ToPartial returns an Output that appends to a partial file. It first reads the file to compute
// the digest.
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

// Write appends b to the output.
func (o *Output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.sum.Write(b[:n])
	o.size += int64(n)
	return n, err
}

// errStream is the error for a stream that would have to start over.
var errStream = errors.New("the file changed after its beginning had been written to a stream; download it anew")

// restart discards all bytes. The next bytes belong to the file with this ETag.
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
	// Save the ETag only after the truncation. So even after a crash, the saved ETag never belongs
	// to a different file than the saved bytes.
	o.etag, o.size, o.inherited = etag, 0, false
	o.sum.Reset()
	o.partial.State.ETag = etag
	return o.partial.Save()
}
