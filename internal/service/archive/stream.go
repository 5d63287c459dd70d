package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/blob"
)

// errStalled is the cause with which a stream's context is cancelled when no byte arrives in time.
var errStalled = errors.New("the store sends nothing")

// stream reads an object from an offset to its end. Opening the stream and each Read fail if no byte
// arrives within the timeout.
type stream struct {
	timeout time.Duration
	reader  *blob.Reader
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer // cancels ctx with errStalled
}

func (a *Archive) openStream(ctx context.Context, key string, offset int64) (*stream, error) {
	s := &stream{timeout: a.options.StallTimeout}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(s.timeout, func() { s.cancel(errStalled) })
	const toTheEnd = -1
	reader, err := a.bucket.NewRangeReader(s.ctx, key, offset, toTheEnd, nil)
	s.timer.Stop()
	if err != nil {
		err = s.explainStall(err)
		s.cancel(nil)
		return nil, explain(ctx, err)
	}
	s.reader = reader
	return s, nil
}

// size returns the length of the whole object in bytes.
func (s *stream) size() int64 { return s.reader.Size() }

func (s *stream) Read(p []byte) (int, error) {
	s.timer.Reset(s.timeout)
	n, err := s.reader.Read(p)
	s.timer.Stop()
	return n, s.explainStall(err)
}

// explainStall replaces an error that a stall caused. The SDK itself only says that the context was
// cancelled.
func (s *stream) explainStall(err error) error {
	if err != nil && context.Cause(s.ctx) == errStalled {
		hideQuery(err)
		return fmt.Errorf("%w for %s (%v)", errStalled, s.timeout, err)
	}
	return err
}

func (s *stream) close() {
	s.reader.Close() //nolint:errcheck // closing after reading cannot lose data
	s.timer.Stop()
	s.cancel(nil)
}
