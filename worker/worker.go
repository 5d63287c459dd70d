// Package worker runs the Temporal worker. It registers the workflows and activities, keeps the schedules
// up to date, and hands unfinished activities over to other workers when this worker stops.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/reconcile"
	"memexport/workflows"
)

// Options configures a worker.
type Options struct {
	Client     client.Client
	Namespace  string
	TaskQueue  string
	Activities *activities.Activities
	Reconciler *reconcile.Activities
	Log        *slog.Logger

	Concurrency     int           // how many activities run at the same time
	CachedWorkflows int           // how many workflows stay in memory between their tasks
	StopTimeout     time.Duration // how long a stopping worker waits for its activities
	ReconcileEvery  time.Duration // the interval of the schedule that runs Reconcile
	SweepEvery      time.Duration // the interval of the schedule that runs Sweep
	ScheduleCheck   time.Duration // how often the worker checks that the schedules still exist; defaults to 5 minutes

	// Load is called twice a second with the greatest number of activities that ran at the same time since the
	// last call, and with the number of workflows in memory. It may be nil.
	Load func(Load)

	// Version identifies the program in the reset points of workflows. If it is empty, the SDK hashes the program's
	// file instead, which takes most of the processor time of a start.
	Version string

	// DeploymentName and BuildID turn on Worker Versioning: Temporal dispatches no tasks to this build
	// until an operator makes it the current version. Without them, every worker takes every task.
	DeploymentName string
	BuildID        string
}

// retryEvery is the pause between attempts to start while the Temporal server cannot be reached.
const retryEvery = 2 * time.Second

// Run runs a worker until ctx ends, and then stops the worker: running activities end early, and other
// workers continue them. If the Temporal server cannot be reached, Run keeps trying.
func Run(ctx context.Context, o Options) {
	for {
		err := o.start(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		o.Log.Warn("the worker is waiting to start", "error", err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return
		}
	}
}

// start starts a worker and waits until ctx ends. It returns an error if the worker cannot start or stops
// because of a fatal error.
func (o *Options) start(ctx context.Context) error {
	schedules := &schedules{Options: o}
	if err := o.prepareNamespace(ctx, schedules); err != nil {
		return err
	}
	var current load
	if o.Load != nil {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go current.tell(ctx, o.Load)
	}
	fatal := make(chan error, 1) // holds the first fatal error, after which the SDK stops the worker
	w := o.worker(&current, func(err error) {
		select {
		case fatal <- err:
		default: // ignore later errors
		}
	})
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	o.Log.Info("worker started", "task_queue", o.TaskQueue, "activities", o.Concurrency)
	keeping, stopKeeping := context.WithCancel(ctx)
	defer stopKeeping()
	go schedules.keep(keeping)
	select {
	case err := <-fatal:
		return fmt.Errorf("the worker stopped: %w", err)
	case <-ctx.Done():
		w.Stop()
		return nil
	}
}

// worker returns a worker that is not started yet.
func (o *Options) worker(current *load, onFatalError func(error)) worker.Worker {
	options := worker.Options{
		OnFatalError:                       onFatalError,
		MaxConcurrentActivityExecutionSize: o.Concurrency,
		// The default is two pollers. Both may wait for tasks of cached workflows, for up to a minute, and
		// new exports then have to wait. Autoscaling pollers always wait for tasks of both kinds.
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		WorkerStopTimeout:          o.StopTimeout,
		Interceptors:               []interceptor.WorkerInterceptor{current},
		// By default, the SDK sends a heartbeat only after 80% of the timeout, which is 24 seconds.
		MaxHeartbeatThrottleInterval: attempt.HeartbeatEvery,
	}
	if o.BuildID != "" {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: o.DeploymentName, BuildID: o.BuildID},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade, // an export runs longer than the time between two deploys
		}
	}
	if o.Version != "" {
		worker.SetBinaryChecksum(o.Version)
	}
	worker.SetStickyWorkflowCacheSize(o.CachedWorkflows)
	w := worker.New(o.Client, o.TaskQueue, options)
	o.register(w)
	return w
}

// register registers the workflows and activities under their Go names. Renaming one of these functions
// breaks running exports.
func (o *Options) register(r worker.Registry) {
	r.RegisterWorkflow(workflows.Export)
	r.RegisterActivity(o.Activities)
	r.RegisterWorkflow(reconcile.Reconcile)
	r.RegisterWorkflow(reconcile.Sweep)
	r.RegisterActivity(o.Reconciler)
}

// prepareNamespace registers the search attributes, and creates the schedules or changes existing ones to
// match the options.
func (o *Options) prepareNamespace(ctx context.Context, s *schedules) error {
	err := workflows.RegisterSearchAttributes(ctx, o.Client, o.Namespace)
	var missing *workflows.MissingAttributesError
	if errors.As(err, &missing) {
		o.Log.Warn("new exports cannot be found by status, workspace or format in the Temporal UI until the search attributes exist; "+
			"create them as docs/temporal-ui.md says", "missing", missing.Missing, "error", missing)
	} else if err != nil {
		return fmt.Errorf("register the search attributes: %w", err)
	}
	return s.ensure(ctx, atStart)
}
