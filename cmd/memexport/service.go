package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/admin"
	"memexport/internal/service/archive"
	"memexport/internal/service/config"
	"memexport/internal/service/export"
	"memexport/internal/service/postgres"
	"memexport/internal/service/telemetry"
	"memexport/internal/service/temporalclient"
	"memexport/workflows"
)

// serve runs a part of the service, the API or the worker, until ctx ends. It listens on ADMIN_ADDR
// before it connects to the database and the other services, so that probes are answered from the start.
func serve(ctx context.Context, part string, do func(context.Context, *service) error) error {
	cfg, err := config.Load(config.Database, config.Bucket)
	if err != nil {
		return err
	}
	log := newLogger(cfg)
	t, err := startTelemetry(ctx, cfg.AdminAddr, log, part)
	if err != nil {
		return err
	}
	defer stopTelemetry(t, log)
	operators, err := listenAdmin(cfg.AdminAddr, t.Handler, log, part)
	if err != nil {
		return err
	}
	defer closeAdmin(operators)
	role := map[string]string{apiPart: postgres.APIRole, workerPart: postgres.WorkerRole}[part]
	return withService(ctx, cfg, role, t, func(ctx context.Context, s *service) error {
		s.admin = operators
		go s.temporal.Watch(ctx)
		return do(ctx, s)
	})
}

// withService connects to the database and the other services, and calls do with the connected service. If
// role is not empty, the user of the database must have the privileges of that role.
func withService(ctx context.Context, cfg config.Config, role string, t *telemetry.Telemetry, do func(context.Context, *service) error) error {
	temporal, err := config.Temporal()
	if err != nil {
		return err
	}
	s, err := connect(ctx, cfg, temporal, t, newLogger(cfg), role)
	if err != nil {
		return err
	}
	defer s.close()
	return do(ctx, s)
}

func newLogger(cfg config.Config) *slog.Logger {
	return telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
}

// service holds the connections and settings that both the API and the worker use.
type service struct {
	config   config.Config
	log      *slog.Logger
	db       *sqlx.DB
	exports  *export.Store
	archive  *archive.Archive
	temporal *temporalclient.Connection
	starter  *workflows.Starter
	admin    *admin.Server // nil in commands that serve nothing
	name     string        // the Temporal namespace

	telemetry *telemetry.Telemetry
	unobserve func() // ends the metrics about the connections of db
}

// connect opens what both the API and the worker need. It fails if the database does not answer or
// is not migrated. Temporal need not be running yet.
func connect(ctx context.Context, cfg config.Config, temporal client.Options, t *telemetry.Telemetry, log *slog.Logger, role string) (*service, error) {
	db, err := openMigrated(ctx, cfg, role)
	if err != nil {
		return nil, err
	}
	options := archive.Options{Compress: cfg.Compression == "gzip", Compose: cfg.DownloadMode == "redirect"}
	if role == postgres.APIRole {
		options.StallTimeout = 10 * time.Second // a client waits for the answer
	}
	files, err := archive.Open(ctx, cfg.BucketURL, options)
	if err == nil {
		err = files.Check(ctx)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("BUCKET_URL: %w (docs/stores.md has the URL and the permissions for each store)", err)
	}
	err = t.Observe(&temporal)
	var connection *temporalclient.Connection
	if err == nil {
		connection, err = temporalclient.Open(temporalclient.Options{Client: temporal, TaskQueue: cfg.TaskQueue,
			DeploymentName: cfg.DeploymentName, BuildID: cfg.BuildID, Log: log})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the TEMPORAL_ variables are wrong: correct or unset them: %w", err), db.Close(), files.Close())
	}
	limits := export.Limits{Running: cfg.WorkspaceRunning, AllRunning: cfg.Running, Unfinished: cfg.WorkspaceUnfinished,
		WorkspaceBytes: int64(cfg.WorkspaceStorage), Bytes: int64(cfg.Storage)}
	exports := export.NewStore(db).WithLimits(limits).WithObserver(telemetry.ObserveLife(log))
	starter := workflows.NewStarter(connection.Client, temporal.Namespace, cfg.TaskQueue)
	starter.LinkDocs(cfg.DocsURL)
	return &service{config: cfg, log: log, db: db, exports: exports, archive: files, temporal: connection,
		telemetry: t, unobserve: observePool(db, "exports", log),
		name: temporal.Namespace, starter: starter}, nil
}

func (s *service) close() {
	s.unobserve()
	s.temporal.Client.Close()
	if err := errors.Join(s.archive.Close(), s.db.Close()); err != nil {
		s.log.Warn("closing", "error", err)
	}
}
