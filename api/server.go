package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"

	"memexport/api/internal/connection"
	"memexport/api/internal/refusal"
)

// maxHeaderBytes limits the request line and headers together. A URL may take up to 16 KiB of this.
const maxHeaderBytes = 64 << 10

// Server is the HTTP/1.1 server of the API. A proxy in front of it may add TLS.
type Server struct {
	http        http.Server
	connections connection.Limits
	log         *slog.Logger
}

func newServer(handler http.Handler, limits Limits, log *slog.Logger) *Server {
	return &Server{
		log: log,
		connections: connection.Limits{
			Stall: limits.Stall, Max: limits.Connections, MaxPerAddress: limits.ConnectionsPerAddress,
			Refused: func(n int) {
				log.Warn("connections were reset because too many are open: raise API_CONNECTIONS or API_CONNECTIONS_PER_ADDRESS if they come from normal clients", "connections", n)
			},
		},
		http: http.Server{
			Handler:           handler,
			ReadHeaderTimeout: limits.ReadHeader,
			ReadTimeout:       limits.ReadRequest,
			IdleTimeout:       limits.Idle,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}
}

// Serve answers requests from l until Shutdown or Close is called. Then it returns http.ErrServerClosed.
// Call it only once.
func (s *Server) Serve(l net.Listener) error {
	return refusal.Serve(&s.http, connection.Listen(l, s.connections), s.refuse)
}

// Shutdown closes idle connections and waits until the running requests are answered or ctx ends,
// whichever comes first. Requests that wait for an export are answered at once with its present state.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close closes every connection at once.
func (s *Server) Close() error { return s.http.Close() }

// refuse answers a request that net/http refused with status before any handler ran.
func (s *Server) refuse(w http.ResponseWriter, status int) {
	p := newProblem(codeMalformed)
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		p = newProblem(codeHeadersTooLarge)
	case http.StatusExpectationFailed, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		p.Detail = "The request needs a part of HTTP that this server does not support."
	}
	p.Status, p.Title = status, cmp.Or(http.StatusText(status), p.Title)
	id := rand.Text() // make a new id, because the client's id may be in the part of the request that could not be read
	setCommonHeaders(w.Header(), id)
	writeProblem(w, p)
	s.log.Info("a request was refused before it reached a route", "request_id", id, "status", status)
}
