// Package api is the HTTP API of the service: it creates, lists, shows and deletes exports, and serves
// their files. Every error has the form of problem details (RFC 9457).
//
// Each operation has a file of its own: create.go, list.go, get.go, download.go, delete.go. routes.go
// lists everything that the server answers.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/token"
	"memexport/workflows"
)

// Options are what the API needs. Exports, Keys, Archive and Starter are required.
type Options struct {
	Exports *export.Store
	Keys    *apikey.Store
	Archive *archive.Archive
	Starter *workflows.Starter

	// Audit stores audit events: who created, read, downloaded and deleted exports. While Audit cannot
	// store events, downloads are refused. Defaults to only logging the events.
	Audit *audit.Store
	// Redirect makes the API answer a download with a redirect to a signed URL in the store, if the store
	// has the file as one object. Defaults to sending the file.
	Redirect bool
	// Tokens verifies the access tokens that callers may send as bearer tokens. If it is nil, only API
	// keys are accepted.
	Tokens *token.Verifier
	// AuthFailures is how many requests a minute from one address may have a wrong key or token. Beyond
	// that, requests from the address are answered with 429. Defaults to no limit.
	AuthFailures int
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed. Defaults to none: then
	// the peer address of a connection is the client's address.
	TrustedProxies []netip.Prefix
	// Ready returns nil if the process can serve requests at the moment. Otherwise it returns the reason
	// as an error. /readyz calls Ready. Defaults to a function that returns nil.
	Ready func(context.Context) error
	// Limits bound what clients can use. The comments of its fields name the defaults.
	Limits Limits
	// Log receives one line for each request and the causes of 5xx answers. No line contains a key, a
	// query string or a memory. Defaults to no log.
	Log *slog.Logger
}

// New returns the server of the whole API, including health checks and documents. The server does not
// listen until Serve is called.
func New(o Options) *Server {
	s := &service{
		exports: o.Exports, keys: o.Keys, archive: o.Archive, starter: o.Starter, audit: o.Audit,
		watchers:  newWatchers(o.Exports.Get),
		rates:     newRates(o.Limits.RequestsPerSecond),
		longPolls: newLongPolls(o.Limits.LongPolls, o.Limits.LongPollsPerKey),
		downloads: newDownloads(o.Limits.Downloads, o.Limits.DownloadsPerKey),
		files:     sharedFiles{inUse: map[string]*sharedFile{}},
		redirect:  o.Redirect, ready: o.Ready, log: o.Log,
		tokens: o.Tokens, failures: newFailures(o.AuthFailures), trustedProxies: o.TrustedProxies,
	}
	if s.ready == nil {
		s.ready = func(context.Context) error { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	s.routes(mux)
	server := newServer(observe(s.log, refuseUnroutable(mux)), o.Limits.withDefaults(), s.log)
	server.http.RegisterOnShutdown(sync.OnceFunc(s.watchers.end)) // each call of Shutdown calls it
	return server
}
