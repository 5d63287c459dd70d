// Package api is the HTTP API of the service: it creates, lists, shows and deletes exports, and serves
// their files. Every error has the form of problem details (RFC 9457).
//
// Each operation has a file of its own: create.go, list.go, get.go, download.go, delete.go. routes.go
// lists everything that the server answers.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/workflows"
)

// Options are what the API needs. Exports, Keys, Archive and Starter are required.
type Options struct {
	Exports *export.Store
	Keys    *apikey.Store
	Archive *archive.Archive
	Starter *workflows.Starter

	// Audit keeps who created, read, downloaded and deleted exports. A download is refused while it does
	// not answer. Defaults to only logging these events.
	Audit *audit.Store
	// Redirect answers a download with a signed address in the store, if the store has the file as one
	// object. Defaults to sending the file.
	Redirect bool
	// Ready returns why the process cannot serve requests at the moment, or nil. /readyz calls it.
	// Defaults to a function that returns nil.
	Ready func(context.Context) error
	// Limits bound what clients can use. Defaults to the defaults of its fields.
	Limits Limits
	// Log gets one line for each request and the causes of 5xx answers. It never gets keys, query
	// strings or memories. Defaults to no log.
	Log *slog.Logger
	// Version is the version of the program, which /healthz shows. Defaults to "dev".
	Version string
}

// New returns the server of the whole API, health checks and documents included. It does not listen
// yet.
func New(o Options) *Server {
	s := &service{
		exports: o.Exports, keys: o.Keys, archive: o.Archive, starter: o.Starter, audit: o.Audit,
		watchers:  newWatchers(o.Exports.Get),
		rates:     newRates(o.Limits.RequestsPerSecond),
		longPolls: newSlots("long-polls", "requests that wait", o.Limits.LongPolls, o.Limits.LongPollsPerKey),
		downloads: newSlots("downloads", "downloads", o.Limits.Downloads, o.Limits.DownloadsPerKey),
		redirect:  o.Redirect, ready: o.Ready, log: o.Log, version: cmp.Or(o.Version, "dev"),
	}
	if s.ready == nil {
		s.ready = func(context.Context) error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	s.routes(mux)
	return newServer(observe(s.log, refuseUnroutable(mux)), o.Limits.withDefaults(), s.log)
}
