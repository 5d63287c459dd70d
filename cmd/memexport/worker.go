package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/internal/service/audit"
	"memexport/internal/service/memory"
	"memexport/internal/service/metrics"
	"memexport/internal/service/postgres"
	"memexport/internal/service/telemetry"
	"memexport/reconcile"
	"memexport/worker"
)

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
	// Allow two connections for each activity: memory.Source.Read is faster with two.
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
	go s.watchReadiness(ctx, workerPart, metrics.WorkerReady, func() { s.showCurrent(ctx) })
	context.AfterFunc(ctx, s.admin.Stopping)
	worker.Run(ctx, worker.Options{
		Client:     s.temporal.Client,
		Namespace:  s.name,
		TaskQueue:  s.config.TaskQueue,
		Activities: steps,
		Reconciler: &reconcile.Activities{Steps: steps, Client: s.temporal.Client, Starter: s.starter, Dispatcher: dispatcher,
			Audit: audit.NewStore(s.db), History: s.config.History, AuditRetention: s.config.AuditRetention, StuckAfter: s.config.StuckAfter,
			Log: s.log, Observe: func(done reconcile.Reconciled) { stuck(done.CountStuck()) }},
		Log:             slog.New(telemetry.Seldom(s.log.Handler(), 10*time.Minute)), // a worker that cannot start warns every 2 s
		Concurrency:     s.config.Concurrency,
		CachedWorkflows: s.config.CachedWorkflows,
		Load:            tuneMemory(),
		StopTimeout:     s.config.StopTimeout,
		ReconcileEvery:  s.config.ReconcileEvery,
		SweepEvery:      s.config.SweepEvery,
		DeploymentName:  s.config.DeploymentName,
		BuildID:         s.config.BuildID,
		Version:         versionText(),
	})
	return nil
}
