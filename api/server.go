package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"time"

	"memexport/api/internal/refusal"
)

// Limits of a connection. There is no WriteTimeout: an answer may be held back for maxWait, and a
// download may take hours; it sets write deadlines of its own.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second // bodies are at most 64 KiB
	idleTimeout       = 2 * time.Minute  // longer than clients wait between two polls
	maxHeaderBytes    = 64 << 10         // a URL may take 16 KiB of it
)

// Server is the HTTP/1.1 server of the API. A proxy in front of it may add TLS.
type Server struct {
	http http.Server
	log  *slog.Logger
}

func newServer(handler http.Handler, log *slog.Logger) *Server {
	return &Server{log: log, http: http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Serve answers the requests that arrive on l, until Shutdown or Close is called. Then it returns
// http.ErrServerClosed. Call it once.
func (s *Server) Serve(l net.Listener) error { return refusal.Serve(&s.http, l, s.refuse) }

// Shutdown closes idle connections and waits until the running requests are answered or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close closes every connection at once.
func (s *Server) Close() error { return s.http.Close() }

// refuse answers a request that never reached a handler, since net/http refused it with status.
func (s *Server) refuse(w http.ResponseWriter, status int) {
	p := newProblem(codeMalformed)
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		p = newProblem(codeHeadersTooLarge)
	case http.StatusExpectationFailed, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		p.Detail = "The request needs a part of HTTP that this server does not support."
	}
	p.Status, p.Title = status, cmp.Or(http.StatusText(status), p.Title)
	id := rand.Text() // the caller's own may be in the part that could not be read
	setCommonHeaders(w.Header(), id)
	writeProblem(w, p)
	s.log.Info("a request was refused before it reached a route", "request_id", id, "status", status)
}
