// Package admin serves what operators and probes ask of a process: whether it is alive, whether it is ready,
// and its metrics. It listens on a port of its own, which is not for clients of the API.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// Off is the value of ADMIN_ADDR that turns the server off.
const Off = "off"

// These limits keep slow or numerous callers from using much memory.
const (
	maxConnections = 100 // a few probes, scrapers and people; further connections wait
	maxHeaderBytes = 16 << 10
	readTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second // a scrape of /metrics takes milliseconds
	idleTimeout    = 2 * time.Minute  // longer than the usual minute between two scrapes
)

// Options configures a Server.
type Options struct {
	// Parts are the names of what the process runs, such as api and worker. Until SetCheck is called for a
	// part, the process is not ready.
	Parts []string

	// Metrics answers /metrics. Without it, /metrics is not found.
	Metrics http.Handler

	// Version is the version of the program.
	Version string

	Log *slog.Logger
}

// Server answers /healthz, /readyz and /metrics.
type Server struct {
	http     http.Server
	listener net.Listener // nil if the server is off
	log      *slog.Logger
	version  string
	started  time.Time
	parts    []*part
	stopping atomic.Bool
}

// Listen starts a server on address, which is host:port, or Off for a server that serves nothing. The caller
// closes the server when the process ends.
func Listen(address string, o Options) (*Server, error) {
	s := &Server{log: o.Log, version: o.Version, started: time.Now()}
	for _, name := range o.Parts {
		s.parts = append(s.parts, &part{name: name})
	}
	if address == Off {
		return s, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ADMIN_ADDR: %w: set it to a free address of this machine, such as 127.0.0.1:9091, or to off", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	s.listener = listener
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := s.http.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the admin server on ADMIN_ADDR has ended: restart the process", "error", err)
		}
	}()
	s.log.Info("admin listening", "address", listener.Addr().String())
	return s, nil
}

// URL returns the address of the server, such as http://127.0.0.1:9090, or "" if it is off.
func (s *Server) URL() string {
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// Stopping makes /readyz answer that the process is not ready. It cannot be undone.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Close ends the server. It waits for open requests until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}
