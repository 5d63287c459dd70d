package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/admin"
)

// These are the parts of a process that decide whether it is ready.
const apiPart, workerPart = "api", "worker"

// listenAdmin serves /healthz, /readyz and /metrics on address. The process is not ready until each part has
// a check.
func listenAdmin(address string, log *slog.Logger, parts ...string) (*admin.Server, error) {
	return admin.Listen(address, admin.Options{Parts: parts, Version: version, Log: log})
}

// closeAdmin is the last thing that a process does, so that probes and scrapers are answered while it stops.
func closeAdmin(s *admin.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // an error means that a scraper was cut off, which it notices itself
}

// checkAPI says that the API is ready if its database answers. Exports are accepted while Temporal is away,
// and their status can be read while the bucket is away, so neither makes the API unready.
func (s *service) checkAPI(ctx context.Context) (any, error) {
	return map[string]any{"temporal": s.temporal.State()}, ping(ctx, "DATABASE_URL", s.db)
}

// checkWorker returns a check that says that the worker is ready if it polls its task queue and both of its
// databases answer. A build that is not current is ready: it polls, and an operator makes it current then.
func (s *service) checkWorker(memories *sqlx.DB) admin.Check {
	return func(ctx context.Context) (any, error) {
		var group errgroup.Group
		group.Go(func() error { return ping(ctx, "DATABASE_URL", s.db) })
		group.Go(func() error { return ping(ctx, "MEMORIES_DATABASE_URL (or DATABASE_URL)", memories) })
		temporal := s.temporal.Look(ctx)
		return map[string]any{"temporal": temporal}, cmp.Or(temporal.Err(), group.Wait())
	}
}

// ping returns an error that names the setting unless the database answers.
func ping(ctx context.Context, setting string, db *sqlx.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("the database in %s does not answer: check that it runs and can be reached: %w", setting, err)
	}
	return nil
}
