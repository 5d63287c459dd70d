package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/blob"
)

// patience is how long a store may take. Without limits a connection over which nothing comes any
// more, or a client that repeats a request for ever, would hold up an export until somebody looks.
type patience struct {
	stall time.Duration // to the next byte of a part
	call  time.Duration // for a request without a large body, repetitions included
}

var usual = patience{stall: 30 * time.Second, call: time.Minute}

// call does one request.
func (a *Archive) call(ctx context.Context, request func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, a.patience.call)
	defer cancel()
	return explain(ctx, request(limited))
}

// upload is how long a request with a body of n bytes may take.
func (p patience) upload(n int) time.Duration {
	const slowest = 64 << 10 // bytes a second
	return p.call + time.Duration(n/slowest)*time.Second
}

// errStalled ends the reading of a part.
var errStalled = errors.New("the store sends nothing")

// stream reads an object from an offset on. Opening it and each Read fail when no byte comes.
type stream struct {
	stall  time.Duration
	reader *blob.Reader
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer // ends ctx
}

func (a *Archive) openStream(ctx context.Context, key string, offset int64) (*stream, error) {
	s := &stream{stall: a.patience.stall}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.watch = time.AfterFunc(s.stall, func() { s.cancel(errStalled) })
	reader, err := a.bucket.NewRangeReader(s.ctx, key, offset, -1, nil)
	s.watch.Stop()
	if err != nil {
		err = s.because(err)
		s.cancel(nil)
		return nil, explain(ctx, err)
	}
	s.reader = reader
	return s, nil
}

// size is the length of the whole object in bytes.
func (s *stream) size() int64 { return s.reader.Size() }

func (s *stream) Read(p []byte) (int, error) {
	s.watch.Reset(s.stall)
	n, err := s.reader.Read(p)
	s.watch.Stop()
	return n, s.because(err)
}

// because names the stall, if an error is one; the client's own word is that the context ended.
func (s *stream) because(err error) error {
	if err != nil && context.Cause(s.ctx) == errStalled {
		hideQuery(err)
		return fmt.Errorf("%w for %s (%v)", errStalled, s.stall, err)
	}
	return err
}

func (s *stream) close() {
	s.reader.Close() //nolint:errcheck // only read from
	s.watch.Stop()
	s.cancel(nil)
}
