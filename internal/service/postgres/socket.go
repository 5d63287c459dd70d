package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// dialer opens sockets for lib/pq.
type dialer struct {
	net.Dialer
	options Options
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: raw, buffer: bufio.NewReaderSize(raw, 64<<10), options: d.options}
	if c, ok := ctx.Value(connectingKey{}).(*connecting); ok {
		ctx, c.socket = c.ctx, s
	}
	s.ctx.Store(&ctx)
	return s, nil
}

// connecting passes values between connector.Connect and the dialer that lib/pq calls.
type connecting struct {
	ctx    context.Context // the context of Connect; the dialer gets another one, which lib/pq cancels after the dial
	socket *socket         // set by the dialer
}

type connectingKey struct{}

// socket is a connection to Postgres whose reads and writes end when the context of the current call ends.
// lib/pq alone would then send a cancel request and wait for Postgres, which may hang.
//
// It reads through a buffer of 64 KiB. lib/pq reads only 4 KiB at a time, which costs many system calls for
// a large result.
type socket struct {
	net.Conn
	buffer  *bufio.Reader
	options Options

	ctx   atomic.Pointer[context.Context] // of the current call; during COPY, a goroutine of lib/pq reads it too
	until time.Time                       // the deadline that lib/pq has set for connect_timeout
}

// use makes ctx the context of the current call. The function that it returns restores the previous one.
func (s *socket) use(ctx context.Context) (restore func()) {
	previous := s.ctx.Swap(&ctx)
	return func() { s.ctx.Store(previous) }
}

func (s *socket) SetDeadline(t time.Time) error {
	s.until = t
	return s.Conn.SetDeadline(t)
}

func (s *socket) Read(p []byte) (int, error) {
	if s.buffer.Buffered() > 0 {
		return s.buffer.Read(p)
	}
	return s.bounded(s.buffer.Read, p)
}

func (s *socket) Write(p []byte) (int, error) { return s.bounded(s.Conn.Write, p) }

// bounded calls do to read or write p. It interrupts do when the current context ends, or after
// Options.Silence.
func (s *socket) bounded(do func([]byte) (int, error), p []byte) (int, error) {
	deadline := s.until
	if limit := s.options.Silence; limit > 0 && deadline.IsZero() {
		deadline = time.Now().Add(limit)
	}
	if err := s.Conn.SetDeadline(deadline); err != nil {
		return 0, err
	}
	ctx := *s.ctx.Load()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.Conn.SetDeadline(time.Unix(1, 0)) // fails only if the connection is closed, which also ends do
		close(interrupted)
	})
	n, err := do(p)
	if !stop() {
		<-interrupted // wait, because a late interruption would hit the next call
	}
	return n, s.explain(ctx, err)
}

// explain replaces the timeout in err by its reason if bounded has set the deadline: the context has ended, or
// Postgres has been silent. The error stays a *net.OpError, because lib/pq recognizes a broken connection by
// that type.
func (s *socket) explain(ctx context.Context, err error) error {
	var failed *net.OpError
	if !errors.As(err, &failed) || !errors.Is(failed.Err, os.ErrDeadlineExceeded) {
		return err
	}
	explained := *failed
	switch {
	case ctx.Err() != nil:
		explained.Err = ctx.Err()
	case s.until.IsZero():
		explained.Err = &silenceError{limit: s.options.Silence, hint: s.options.SilenceHint}
	}
	return &explained
}

// silenceError says that Postgres has sent nothing for too long.
type silenceError struct {
	limit time.Duration
	hint  string
}

func (e *silenceError) Error() string {
	text := fmt.Sprintf("Postgres has sent nothing for %s", e.limit)
	if e.hint != "" {
		text += ": " + e.hint
	}
	return text
}

// Timeout implements net.Error, so that callers treat the error as a timeout.
func (e *silenceError) Timeout() bool { return true }
