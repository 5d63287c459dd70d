package refusal

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// conn is a connection of the server. It replaces what net/http writes while no handler is running.
type conn struct {
	net.Conn
	answer   func(http.ResponseWriter, int)
	handling atomic.Bool // a handler has run since the connection was opened or was last idle
	refused  bool        // the answer to a refused request is written; the connection will be closed
}

// NetConn returns the wrapped connection, as the method of tls.Conn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Write writes p, unless p is a refusal by net/http: then it writes the server's answer instead and
// discards the rest of the refusal.
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

// CloseWrite closes the writing side, so that a client that is still sending can read the answer.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}
