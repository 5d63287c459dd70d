package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/workshop/measure"
)

// bareQueue is the task queue of the bare workflows.
const bareQueue = "bare"

// bareWorkflows measures what the Temporal server needs for a workflow that has a single activity and then sleeps, as
// a small export does, but without any work. That is the least that an export can cost it.
func (b *benchmark) bareWorkflows(ctx context.Context) (measure.Table, error) {
	t := measure.Table{Title: fmt.Sprintf("Temporal alone: workflows of one empty activity and a timer, %d clients", clients),
		Head: []string{"Workflows", "workflows/s", "Temporal CPU ms/workflow"}}
	c, err := client.DialContext(ctx, client.Options{HostPort: b.Temporal.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		return t, err
	}
	defer c.Close()
	asleep := make(chan struct{}, clients) // gets a value for each workflow that begins to sleep
	w := worker.New(c, bareQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: clients,
		WorkflowTaskPollerBehavior:         worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		if err := workflow.ExecuteActivity(ctx, "bare").Get(ctx, nil); err != nil {
			return err
		}
		asleep <- struct{}{} // nothing replays a bare workflow: all of them fit into the cache
		return workflow.Sleep(ctx, time.Hour)
	}, workflow.RegisterOptions{Name: "bare"})
	w.RegisterActivityWithOptions(func(context.Context) error { return nil }, activity.RegisterOptions{Name: "bare"})
	if err := w.Start(); err != nil {
		return t, err
	}
	defer w.Stop()
	var started atomic.Int64
	calls, took, used, err := b.sustain(ctx, func(ctx context.Context) error {
		id := fmt.Sprintf("bare-%d", started.Add(1))
		if _, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: bareQueue}, "bare"); err != nil {
			return err
		}
		select {
		case <-asleep: // of some client, whichever it is
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err != nil {
		return t, err
	}
	t.Add(len(calls), fmt.Sprintf("%.1f", float64(len(calls))/took.Seconds()), measure.Millis(used.Temporal/time.Duration(len(calls))))
	for n := range started.Load() {
		if err := c.TerminateWorkflow(ctx, fmt.Sprintf("bare-%d", n+1), "", "the benchmark has ended"); err != nil {
			return t, err
		}
	}
	return t, nil
}
