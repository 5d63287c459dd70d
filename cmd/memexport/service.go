package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"memexport/activities"
	"memexport/api"
	"memexport/dispatch"
	"memexport/internal/service/admin"
	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/config"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/internal/service/postgres"
	"memexport/internal/service/telemetry"
	"memexport/internal/service/temporalclient"
	"memexport/internal/service/token"
	"memexport/reconcile"
	"memexport/worker"
	"memexport/workflows"
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

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Run the Temporal worker",
		Long:  "Runs the Temporal worker, configured by the environment (see README). Run as many as you like.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), workerPart, func(ctx context.Context, s *service) error { return s.runWorker(ctx) })
		},
	}
}

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
	files, err := archive.Open(ctx, cfg.BucketURL, archive.Options{
		Compress: cfg.Compression == "gzip",
		Compose:  cfg.DownloadMode == "redirect",
	})
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
	return &service{config: cfg, log: log, db: db, exports: exports, archive: files, temporal: connection,
		telemetry: t, unobserve: observePool(db, "exports", log),
		name: temporal.Namespace, starter: workflows.NewStarter(connection.Client, temporal.Namespace, cfg.TaskQueue)}, nil
}

func (s *service) close() {
	s.unobserve()
	s.temporal.Client.Close()
	if err := errors.Join(s.archive.Close(), s.db.Close()); err != nil {
		s.log.Warn("closing", "error", err)
	}
}

// silence is how long Postgres may send nothing while a statement on the service's own tables runs. Each of
// these statements needs milliseconds, or seconds on a slow disk.
const silence = 2 * time.Minute

// openMigrated opens the service's database. It returns an error unless all migrations have been
// applied. If role is not empty, the user of the database must have the privileges of that role.
func openMigrated(ctx context.Context, cfg config.Config, role string) (*sqlx.DB, error) {
	db, err := openDatabase(ctx, "DATABASE_URL", cfg.DatabaseURL, postgres.Options{MaxConns: cfg.Concurrency + 16, Silence: silence, Prepare: true, Observed: true})
	if err != nil {
		return nil, err
	}
	if role != "" {
		err = postgres.CheckGrants(ctx, db, role)
	}
	if err == nil {
		err = postgres.CheckMigrated(ctx, db)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// openDatabase opens a database that answers, directly or through a pooler. setting is the name of the
// environment variable that contains the URL; error messages mention this name.
func openDatabase(ctx context.Context, setting, dsn string, o postgres.Options) (*sqlx.DB, error) {
	var err error
	if o.Pooled, err = sharesSessions(ctx, setting, dsn); err != nil {
		return nil, err
	}
	return postgres.OpenWith(dsn, o)
}

// sharesSessions waits up to 15 seconds until a database answers, and reports whether the connection goes
// through a pooler that may run each transaction in another session.
func sharesSessions(ctx context.Context, setting, dsn string) (bool, error) {
	db, err := postgres.Open(dsn, 2)
	if err != nil {
		if u, parseErr := url.Parse(dsn); parseErr != nil || !strings.HasPrefix(u.Scheme, "postgres") {
			// Replace the error, because it contains the text that could not be parsed, and that text
			// contains the password.
			err = errors.New("give a URL such as postgres://user:password@host:5432/name, with special characters percent-encoded")
		}
		return false, fmt.Errorf("%s is not valid: %w", setting, err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	shared := false
	if err = postgres.WaitReady(ctx, db); err == nil {
		shared, err = postgres.SharesSessions(ctx, db)
	}
	if err != nil {
		return false, fmt.Errorf("the database in %s does not answer: check that it runs, and the host, port, user and password: %w", setting, err)
	}
	return shared, nil
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
		Version:        version,
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
	time.Sleep(min(s.config.StopDelay, s.config.StopTimeout/2)) // load balancers notice that /readyz has changed
	if err := server.Shutdown(stopping); err != nil {
		return server.Close() // this ends downloads that take longer; clients can resume them from another process
	}
	return nil
}

// runWorker checks that the worker can read memories and write parts. Then it runs the worker until
// ctx ends.
func (s *service) runWorker(ctx context.Context) error {
	if err := s.archive.CheckWrites(ctx); err != nil {
		return fmt.Errorf("BUCKET_URL: %w", err)
	}
	if s.archive.Composes() {
		if err := s.archive.CheckCompose(ctx); err != nil {
			return fmt.Errorf("DOWNLOAD_MODE is redirect, but %w (docs/stores.md lists what that needs)", err)
		}
	}
	// Allow two connections for each activity. memory.Source.Read says why an activity needs two.
	memories, err := openDatabase(ctx, "MEMORIES_DATABASE_URL (or DATABASE_URL)", s.config.MemoriesDatabaseURL, postgres.Options{
		MaxConns: 2 * s.config.Concurrency,
		Silence:  s.config.MemoriesReadTimeout, SilenceHint: "raise MEMORIES_READ_TIMEOUT if the server is healthy and only slow",
	})
	if err != nil {
		return err
	}
	defer memories.Close()
	defer observePool(memories, "memories", s.log)()
	if err := s.telemetry.ObserveExports(s.exports, s.config.Grace); err != nil {
		return err
	}
	source, err := memory.NewSource(memories, s.config.MemoriesTable, memory.SourceOptions{})
	if err != nil {
		return fmt.Errorf("MEMORIES_TABLE: %w", err)
	}
	if err := source.Check(ctx); err != nil {
		return fmt.Errorf("MEMORIES_TABLE: %w", err)
	}
	stuck, err := s.telemetry.ObserveStuck(s.config.ReconcileEvery)
	if err != nil {
		return err
	}
	dispatcher := &dispatch.Dispatcher{Exports: s.exports, Starter: s.starter, Log: s.log}
	steps := &activities.Activities{
		Exports: s.exports, Source: source, Archive: s.archive,
		Retention: s.config.Retention, Grace: s.config.Grace, Parallel: s.config.Parallel,
		Ended: dispatcher.Next,
	}
	s.admin.SetCheck(workerPart, s.checkWorker(memories))
	context.AfterFunc(ctx, s.admin.Stopping)
	return worker.Run(ctx, worker.Options{
		Client:     s.temporal.Client,
		Namespace:  s.name,
		TaskQueue:  s.config.TaskQueue,
		Activities: steps,
		Reconciler: &reconcile.Activities{Steps: steps, Client: s.temporal.Client, Starter: s.starter, Dispatcher: dispatcher,
			Audit: audit.NewStore(s.db), History: s.config.History, AuditRetention: s.config.AuditRetention, StuckAfter: s.config.StuckAfter,
			Observe: func(done reconcile.Reconciled) { stuck(done.CountStuck()) }},
		Log:            slog.New(telemetry.Seldom(s.log.Handler(), 10*time.Minute)), // the worker tries to start every 2 s
		Concurrency:    s.config.Concurrency,
		Load:           tuneMemory(),
		StopTimeout:    s.config.StopTimeout,
		ReconcileEvery: s.config.ReconcileEvery,
		SweepEvery:     s.config.SweepEvery,
		DeploymentName: s.config.DeploymentName,
		BuildID:        s.config.BuildID,
	})
}
