package refusal

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// conn is a connection of the server. While no handler is running, net/http writes only refusals, and conn
// replaces these with the server's own answers.
type conn struct {
	net.Conn
	answer   func(http.ResponseWriter, int)
	handling atomic.Bool // whether a handler has run since the connection was opened or was last idle
	refused  bool        // the answer to a refused request has been written; net/http will close the connection
}

// NetConn returns the wrapped connection, as tls.Conn.NetConn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Write writes p, unless p belongs to a refusal by net/http. In that case it writes the server's own
// answer once, and discards p and the rest of the refusal.
func (c *conn) Write(p []byte) (int, error) {
	if c.handling.Load() {
		return c.Conn.Write(p)
	}
	if c.refused {
		return len(p), nil
	}
	refusal, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil || refusal.StatusCode < http.StatusBadRequest {
		return c.Conn.Write(p)
	}
	c.refused = true
	if _, err := c.Conn.Write(respond(c.answer, refusal.StatusCode)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadFrom writes the bytes of src like Write. While a handler runs, ReadFrom passes src to the wrapped
// connection, which may let the kernel send a file.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok && c.handling.Load() {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{c}, src)
}

// CloseWrite closes the writing side only, so that a client that is still sending its request can read the
// answer.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}
