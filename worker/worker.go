// Package worker runs the Temporal worker: it registers workflows and activities, keeps the
// schedules, and stops without losing work.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/workflows"
)

// Options configure a worker.
type Options struct {
	Client     client.Client
	Namespace  string
	TaskQueue  string
	Activities *activities.Activities
	Log        *slog.Logger

	Concurrency    int           // activities at the same time
	StopTimeout    time.Duration // how long a stopping worker waits for its activities
	ReconcileEvery time.Duration
	SweepEvery     time.Duration

	// DeploymentName and BuildID turn on Worker Versioning: nothing is dispatched to this build
	// until an operator makes it current. Without them every worker takes every task.
	DeploymentName string
	BuildID        string
}

// retryEvery is how long a worker waits for a Temporal server that is away.
const retryEvery = 2 * time.Second

// Run works until ctx ends and then stops: activities hand over to other workers at their next
// step. It waits for a Temporal server that is not there yet.
func Run(ctx context.Context, o Options) error {
	for {
		err := o.start(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		o.Log.Warn("the worker is waiting to start", "error", err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// start starts a worker and waits until ctx ends; an error says that it could not start or go on.
func (o *Options) start(ctx context.Context) error {
	if err := o.ensureSchedules(ctx); err != nil {
		return err
	}
	fatal := make(chan error, 1) // of the first; it stops the worker
	w := o.worker(func(err error) {
		select {
		case fatal <- err:
		default:
		}
	})
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	o.Log.Info("worker started", "task_queue", o.TaskQueue, "activities", o.Concurrency)
	select {
	case err := <-fatal:
		return fmt.Errorf("the worker stopped: %w", err)
	case <-ctx.Done():
		w.Stop()
		return nil
	}
}

// worker returns the worker with everything registered, not started.
func (o *Options) worker(onFatalError func(error)) worker.Worker {
	options := worker.Options{
		OnFatalError:                       onFatalError,
		MaxConcurrentActivityExecutionSize: o.Concurrency,
		WorkerStopTimeout:                  o.StopTimeout,
		// A cancel comes with the answer to a heartbeat, and the SDK would send one every 24 seconds only.
		MaxHeartbeatThrottleInterval: 5 * time.Second,
	}
	if o.BuildID != "" {
		options.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning:             true,
			Version:                   worker.WorkerDeploymentVersion{DeploymentName: o.DeploymentName, BuildID: o.BuildID},
			DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade, // an export outlives many deploys
		}
	}
	w := worker.New(o.Client, o.TaskQueue, options)
	w.RegisterWorkflow(workflows.Export)
	w.RegisterWorkflow(workflows.Reconcile)
	w.RegisterWorkflow(workflows.Sweep)
	w.RegisterActivity(o.Activities)
	return w
}

// ensureSchedules creates the schedules, or brings existing ones up to date with the options.
func (o *Options) ensureSchedules(ctx context.Context) error {
	if _, err := workflows.RegisterSearchAttributes(ctx, o.Client, o.Namespace); err != nil {
		return fmt.Errorf("register the search attributes: %w", err)
	}
	return errors.Join(
		o.ensureSchedule(ctx, "memexport-reconcile", workflows.Reconcile, o.ReconcileEvery),
		o.ensureSchedule(ctx, "memexport-sweep", workflows.Sweep, o.SweepEvery),
	)
}
