package connection

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// piece is how much a client must take within Limits.Stall: about 1 kB/s if that is a minute. A small
// piece lets slow clients pass, and a large one needs fewer system calls.
const piece = 64 << 10

// conn is a connection whose write deadline moves while the client takes what is written. It has no
// ReadFrom: a deadline must not end a response because its source is slow.
type conn struct {
	net.Conn
	stall    time.Duration
	extended atomic.Pointer[time.Time] // when the write deadline was last set; nil if it was removed
	closed   func()
}

// NetConn returns the wrapped connection, as the method of tls.Conn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Write writes p. If the client does not take it in time, the connection is reset when it is closed.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		c.extend()
		written, err := c.Conn.Write(p[n:min(n+piece, len(p))])
		n += written
		if err != nil || n == len(p) {
			return n, c.abandon(err)
		}
	}
}

// extend sets the write deadline anew, at most every tenth of the time that a client has.
func (c *conn) extend() {
	now := time.Now()
	if last := c.extended.Load(); last == nil || now.Sub(*last) > c.stall/10 {
		_ = c.Conn.SetWriteDeadline(now.Add(c.stall)) // an error shows when writing
		c.extended.Store(&now)
	}
}

// SetWriteDeadline sets a deadline until the next write, which sets its own. net/http removes the
// deadline after each response.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.extended.Store(nil)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets the read deadline, and the write deadline as SetWriteDeadline does.
func (c *conn) SetDeadline(t time.Time) error {
	c.extended.Store(nil)
	return c.Conn.SetDeadline(t)
}

// abandon makes Close reset the connection if err means that the client does not read. Otherwise the
// kernel would keep what is not sent yet, and offer it for some more minutes.
func (c *conn) abandon(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		lingerNot(c.Conn)
	}
	return err
}

// CloseWrite closes the writing side, so that a client that is still sending can read the answer.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. The kernel offers what is not sent yet for Limits.Stall at most.
func (c *conn) Close() error {
	limitFarewell(c.Conn, c.stall)
	c.closed()
	return c.Conn.Close()
}

// Reset closes a connection with a TCP reset and discards what is not sent yet. c may wrap the
// connection, as tls.Conn does.
func Reset(c net.Conn) {
	lingerNot(c)
	c.Close() //nolint:errcheck // nobody is left to be told
}

// lingerNot makes Close discard what is not sent yet.
func lingerNot(c net.Conn) {
	for c != nil {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			return
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = wrapper.NetConn()
	}
}
