// Package api is the HTTP side of the service: it creates exports, tells what has become of them,
// and serves their files. Everything that it refuses, it refuses as problem details (RFC 9457).
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/workflows"
)

// MaxWait is the longest that an answer is held back for the header "Prefer: wait=N".
const MaxWait = 60 * time.Second

const (
	// storeTimeout bounds what a request spends in Postgres at a stretch: better a 503 than a client
	// that waits for a database which does not answer.
	storeTimeout = 10 * time.Second
	// temporalTimeout is short because nothing depends on the outcome: the reconciler makes up for it.
	temporalTimeout = 2 * time.Second
	// readyTimeout is within the patience of the usual readiness probe.
	readyTimeout = 5 * time.Second
	// stallTimeout is how long a download may make no progress before it is cut.
	stallTimeout = 60 * time.Second
)

// Options are what the API needs.
type Options struct {
	Exports *export.Store
	Keys    *apikey.Store
	Archive *archive.Archive
	Starter *workflows.Starter

	// Redirect sends those who download a file that was composed to the store. Defaults to sending them
	// the file.
	Redirect bool
	// Ready reports why the process cannot serve at the moment, if so. Defaults to always ready.
	Ready func(context.Context) error
	// Log gets one line per request and the causes of 5xx answers. It never gets keys, query strings
	// or memories. Defaults to no log.
	Log *slog.Logger
	// Version is that of the program, shown by /healthz. Defaults to "dev".
	Version string
}

type server struct {
	exports *export.Store
	keys    *apikey.Store
	archive *archive.Archive
	starter *workflows.Starter

	redirect bool
	ready    func(context.Context) error
	log      *slog.Logger
	version  string
}

// New returns the server of the whole API, health checks and documents included. It is not listening
// yet.
func New(o Options) *Server {
	s := &server{
		exports: o.Exports, keys: o.Keys, archive: o.Archive, starter: o.Starter,
		redirect: o.Redirect, ready: o.Ready, log: o.Log, version: cmp.Or(o.Version, "dev"),
	}
	if s.ready == nil {
		s.ready = func(context.Context) error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	s.routes(mux)
	return &Server{log: s.log, http: http.Server{
		Handler:           s.observe(refuseUnroutable(mux)),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}}
}
