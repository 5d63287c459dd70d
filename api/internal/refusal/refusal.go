// Package refusal lets a server choose its answer to requests that net/http refuses by itself.
//
// net/http answers some requests in plain text before any handler runs: a request that is not valid
// HTTP, a header that is too large, an unknown transfer encoding, HTTP version or expectation.
package refusal

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// Serve serves l like server.Serve, but calls the function answer to answer requests that net/http
// refuses. answer gets the status that net/http chose and may write a different one. After such an
// answer, Serve closes the connection. Serve changes fields of server, so call it before anything else
// uses server.
//
// Serve recognizes a refusal of net/http by the state of the connection, never by its bytes: net/http
// writes a refusal only if no handler has run since the connection was opened or was last idle. Once a
// handler runs, Serve passes every byte on without looking at it.
//
// The connections of l must not be TLS connections, because net/http would not recognize them through the
// wrapper that Serve adds.
func Serve(server *http.Server, l net.Listener, answer func(w http.ResponseWriter, status int)) error {
	server.DisableGeneralOptionsHandler = true // otherwise net/http would answer OPTIONS * without calling our handler
	handler, connContext, connState := server.Handler, server.ConnContext, server.ConnState
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.handling.Store(true)
		}
		handler.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	// net/http reports StateIdle when a response is completely written, even if the next request has
	// already arrived.
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*conn); ok && state == http.StateIdle {
			c.handling.Store(false)
		}
		if connState != nil {
			connState(c, state)
		}
	}
	return server.Serve(listener{Listener: l, answer: answer})
}

type connKey struct{}

type listener struct {
	net.Listener
	answer func(http.ResponseWriter, int)
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, answer: l.answer}, nil
}

// respond returns the answer to a refused request as the bytes of an HTTP/1.1 response.
func respond(answer func(http.ResponseWriter, int), status int) []byte {
	w := &response{header: http.Header{}, status: http.StatusOK}
	answer(w, status)
	w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	w.header.Set("Connection", "close")
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.Write(&out) // writing to a bytes.Buffer never fails
	out.WriteString("\r\n")
	out.Write(w.body.Bytes())
	return out.Bytes()
}

// response is a ResponseWriter that keeps the response in memory.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *response) WriteHeader(status int)      { r.status = status }
