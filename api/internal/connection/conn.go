package connection

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// piece is how many bytes a client must accept within Limits.Stall: about 1 kB/s if Stall is a minute. A
// smaller piece would permit slower clients, but would need more system calls.
const piece = 64 << 10

// conn is a connection whose write deadline is extended while the client accepts data.
type conn struct {
	net.Conn
	stall    time.Duration
	extended atomic.Pointer[time.Time] // when Write last set the write deadline; nil if another method has set or removed the deadline since
	closed   func()
}

// NetConn returns the wrapped connection, as tls.Conn.NetConn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Write writes p. It returns a timeout error if the client does not accept data in time. After such an
// error, Close resets the connection.
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

// ReadFrom sends src like Write. If src is an *io.LimitedReader of an *os.File, ReadFrom lets the kernel send the
// bytes of the file, so that they need not pass through this process. ReadFrom reads any other source itself and
// calls Write. If the wrapped connection read from such a source, the deadline could pass because the source is
// slow, although the client is not.
func (c *conn) ReadFrom(src io.Reader) (n int64, err error) {
	section, ok := src.(*io.LimitedReader)
	if ok {
		_, ok = section.R.(*os.File)
	}
	to, canSend := c.Conn.(io.ReaderFrom)
	if !ok || !canSend {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	for section.N > 0 {
		c.extend()
		sent, err := to.ReadFrom(&io.LimitedReader{R: section.R, N: min(section.N, piece)})
		n, section.N = n+sent, section.N-sent
		if err != nil || sent == 0 {
			return n, c.abandon(err)
		}
	}
	return n, nil
}

// extend moves the write deadline to c.stall from now. It does nothing if it moved the deadline less than
// c.stall/10 ago.
func (c *conn) extend() {
	now := time.Now()
	if last := c.extended.Load(); last == nil || now.Sub(*last) > c.stall/10 {
		_ = c.Conn.SetWriteDeadline(now.Add(c.stall)) // ignore an error here, because the write then fails too
		c.extended.Store(&now)
	}
}

// SetWriteDeadline sets a deadline that lasts until the next Write, which sets a deadline of its own.
// net/http removes the deadline after each response.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.extended.Store(nil)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets the read deadline, and the write deadline in the same way as SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	c.extended.Store(nil)
	return c.Conn.SetDeadline(t)
}

// abandon makes Close reset the connection if err is a timeout, which means that the client does not read.
// Without a reset, the kernel would keep the unsent data and retransmit it for some more minutes.
func (c *conn) abandon(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		lingerNot(c.Conn)
	}
	return err
}

// CloseWrite closes the writing side only, so that a client that is still sending its request can read the
// answer.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. After that, the kernel goes on sending unsent data, but for at most
// Limits.Stall.
func (c *conn) Close() error {
	limitFarewell(c.Conn, c.stall)
	c.closed()
	return c.Conn.Close()
}

// Reset closes a connection with a TCP reset and discards unsent data. c may be a wrapper of the TCP
// connection, such as a tls.Conn.
func Reset(c net.Conn) {
	lingerNot(c)
	c.Close() //nolint:errcheck // ignore the error, because nobody uses the connection any more
}

// lingerNot makes Close discard unsent data and send a reset (SO_LINGER with 0 seconds).
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
