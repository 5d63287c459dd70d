package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
	"memexport/internal/service/metrics"
	"memexport/internal/service/token"
)

func apiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Long:  "Serves the HTTP API, configured by the environment (see README). Run as many as you like.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), apiPart, func(ctx context.Context, s *service) error {
				listener, err := net.Listen("tcp", s.config.HTTPAddr)
				if err != nil {
					return fmt.Errorf("HTTP_ADDR: %w: set it to a free address of this machine", err)
				}
				collectGarbageEarly()
				return s.serveAPI(ctx, listener)
			})
		},
	}
}

// serveAPI serves requests until ctx ends. Then it waits until the open requests are finished.
func (s *service) serveAPI(ctx context.Context, listener net.Listener) error {
	proxies, err := s.config.Proxies()
	if err != nil {
		return err // cannot happen: config.Load has checked the value
	}
	var tokens *token.Verifier
	if s.config.OIDCIssuer != "" {
		tokens = token.NewVerifier(token.Options{Issuer: s.config.OIDCIssuer, Audience: s.config.OIDCAudience,
			WorkspaceClaim: s.config.OIDCWorkspaceClaim, PermissionsClaim: s.config.OIDCPermissionsClaim})
		if err := tokens.Check(ctx); err != nil {
			s.log.Warn("tokens are answered with 503 until the provider in OIDC_ISSUER answers; API keys work", "error", err)
		}
	}
	s.admin.SetCheck(apiPart, s.checkAPI)
	go s.watchReadiness(ctx, apiPart, metrics.APIReady, nil)
	server := api.New(api.Options{
		Exports:  s.exports,
		Keys:     apikey.NewStore(s.db),
		Archive:  s.archive,
		Audit:    audit.NewStore(s.db),
		Starter:  s.starter,
		Redirect: s.config.DownloadMode == "redirect",
		Limits: api.Limits{
			Connections: s.config.Connections, ConnectionsPerAddress: s.config.ConnectionsPerAddress,
			RequestsPerSecond: s.config.RequestsPerSecond,
			LongPolls:         s.config.LongPolls, LongPollsPerKey: s.config.LongPollsPerKey,
			Downloads: s.config.Downloads, DownloadsPerKey: s.config.DownloadsPerKey,
		},
		Tokens:         tokens,
		AuthFailures:   s.config.AuthFailures,
		TrustedProxies: proxies,
		Ready:          func(ctx context.Context) error { return s.admin.Ready(ctx, apiPart) },
		Log:            s.log,
	})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	s.log.Info("api listening", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout)
	defer cancel()
	s.admin.Stopping()
	time.Sleep(min(s.config.StopDelay, s.config.StopTimeout/2)) // give load balancers time to notice that /readyz has changed
	if err := server.Shutdown(stopping); err != nil {
		return server.Close() // this ends downloads that take longer; clients can resume them from another process
	}
	return nil
}
