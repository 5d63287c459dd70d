package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gocloud.dev/blob"
)

// errStalled is the cause with which a stream's context is cancelled when no byte arrives in time.
var errStalled error = timeoutError("the store sends nothing")

// stream reads an object from an offset to its end. Opening the stream and each Read fail if no byte
// arrives within the timeout.
type stream struct {
	archive *Archive
	timeout time.Duration
	reader  *blob.Reader // nil once a read has hung; that read closes the reader when it ends
	begun   bool         // a byte has been read
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer // cancels ctx with errStalled
	file    *os.File    // the object, if the store is a directory
}

func (a *Archive) openStream(ctx context.Context, key string, offset int64) (*stream, error) {
	s := &stream{archive: a, timeout: a.options.StallTimeout}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(s.timeout, func() { s.cancel(errStalled) })
	const toTheEnd = -1
	var file *os.File
	options := &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error { as(&file); return nil }}
	reader, err := await(a, s.timeout, func() (*blob.Reader, error) { return a.bucket.NewRangeReader(s.ctx, key, offset, toTheEnd, options) },
		func(r *blob.Reader, err error) {
			if err == nil {
				r.Close() //nolint:errcheck // nothing was read
			}
		})
	s.timer.Stop()
	if err != nil {
		err = s.explainStall(err)
		s.cancel(nil)
		return nil, explain(ctx, err)
	}
	s.reader, s.file = reader, file
	return s, nil
}

// size returns the length of the whole object in bytes.
func (s *stream) size() int64 { return s.reader.Size() }

func (s *stream) Read(p []byte) (int, error) {
	s.timer.Reset(s.timeout)
	n, err := s.read(p)
	s.timer.Stop()
	return n, s.explainStall(err)
}

func (s *stream) read(p []byte) (int, error) {
	reader := s.reader
	if reader == nil {
		return 0, errHangs
	}
	if s.begun || s.archive.dir == "" {
		return reader.Read(p)
	}
	// A disk that hangs is noticed when a file is opened and at the first read of the file, because only these two
	// use await. If all reads used await, reading would need one and a half times as much CPU.
	own := make([]byte, min(len(p), 32<<10)) // p belongs to the caller, who may use it while the read still hangs
	n, err := await(s.archive, s.timeout, func() (int, error) { return reader.Read(own) },
		func(int, error) { reader.Close() })
	if errors.Is(err, errHangs) {
		s.reader = nil
		return 0, err
	}
	s.begun = true
	return copy(p, own[:n]), err
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
	if s.reader != nil {
		s.reader.Close() //nolint:errcheck // closing after reading cannot lose data
	}
	s.timer.Stop()
	s.cancel(nil)
}
