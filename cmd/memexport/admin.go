package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/admin"
	"memexport/internal/service/postgres"
)

// apiPart and workerPart name the parts of a process. A process is ready when all its parts are ready.
const apiPart, workerPart = "api", "worker"

// listenAdmin serves /healthz, /readyz and /metrics on address. The process is not ready until each part has
// a check.
func listenAdmin(address string, scraped http.Handler, log *slog.Logger, parts ...string) (*admin.Server, error) {
	return admin.Listen(address, admin.Options{Parts: parts, Metrics: scraped, Version: version, Log: log})
}

// closeAdmin closes the admin server. Call it last, so that probes and scrapers get answers while the
// process stops.
func closeAdmin(s *admin.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // an error means that a scraper was cut off, and the scraper notices that itself
}

// checkAPI is the readiness check of the API. It returns an error if the API's database does not answer. If the
// database is read-only, only the details say so, because the API can still show exports. It does not check Temporal
// and the bucket: without them, the API can still accept exports and show their status.
func (s *service) checkAPI(ctx context.Context) (any, error) {
	details := map[string]any{"temporal": s.temporal.State()}
	err := postgres.CheckWritable(ctx, s.db)
	if postgres.ReadOnly(err) {
		details["database"] = "read-only"
		err = s.db.PingContext(ctx)
	}
	return details, away("DATABASE_URL", err)
}

// checkWorker returns the readiness check of the worker. The check returns an error if the worker does not
// poll its task queue, if one of its two databases does not answer, or if its own is read-only. A build that is not
// the current one counts as ready, because operators make a build current when its workers are ready.
func (s *service) checkWorker(memories *sqlx.DB) admin.Check {
	return func(ctx context.Context) (any, error) {
		var group errgroup.Group
		group.Go(func() error { return checkWritable(ctx, s.db) })
		group.Go(func() error { return away("MEMORIES_DATABASE_URL (or DATABASE_URL)", memories.PingContext(ctx)) })
		temporal := s.temporal.Look(ctx)
		return map[string]any{"temporal": temporal}, cmp.Or(temporal.Err(), group.Wait())
	}
}

// checkWritable returns an error if the service's own database does not answer or is read-only.
func checkWritable(ctx context.Context, db *sqlx.DB) error {
	err := postgres.CheckWritable(ctx, db)
	if postgres.ReadOnly(err) {
		return err
	}
	return away("DATABASE_URL", err)
}

// away wraps err, the error of a database that does not answer. It names the setting with the database's URL.
// Without an error, it returns nil.
func away(setting string, err error) error {
	if err != nil {
		return fmt.Errorf("the database in %s does not answer: check that it runs and can be reached: %w", setting, err)
	}
	return nil
}
