package api

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
)

// Listener makes problem details of what net/http refuses by itself, in plain text and before any
// handler runs: a request that is no HTTP, or a URL and headers beyond the server's limit.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

type conn struct{ net.Conn }

// NetConn is the connection beneath, as crypto/tls has it.
func (c conn) NetConn() net.Conn { return c.Conn }

// plainHeaders is what net/http writes after the status line of such a refusal (server.go, errorHeaders).
// It is no answer of a handler: those that are text have other headers before it.
var plainHeaders = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func (c conn) Write(p []byte) (int, error) {
	end := bytes.IndexByte(p, '\r')
	if end < 0 || !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) || !bytes.HasPrefix(p[end:], plainHeaders) {
		return c.Conn.Write(p)
	}
	var status int
	if _, err := fmt.Sscanf(string(p[:end]), "HTTP/1.1 %d", &status); err != nil {
		return c.Conn.Write(p)
	}
	problem := newProblem(codeMalformed)
	if status == http.StatusRequestHeaderFieldsTooLarge {
		problem = newProblem(codeHeadersTooLarge)
	}
	problem.Status, problem.Title = status, http.StatusText(status)
	answer := rawResponse{header: http.Header{}}
	writeProblem(&answer, problem)
	_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, problem.Title, problem.ContentType(""), answer.body.Len(), answer.body.Bytes())
	return len(p), err
}

// rawResponse is a ResponseWriter that keeps the body.
type rawResponse struct {
	header http.Header
	body   bytes.Buffer
}

func (r *rawResponse) Header() http.Header         { return r.header }
func (r *rawResponse) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *rawResponse) WriteHeader(int)             {}
