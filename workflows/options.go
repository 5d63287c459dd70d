package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// outageBudget is how long an export keeps trying before it fails: a night without the
	// memories database or the store.
	outageBudget = 12 * time.Hour
	// longestAttempt bounds one attempt that makes no end; heartbeats find a dead worker sooner.
	longestAttempt = 6 * time.Hour
	// heartbeat is how long a worker may be silent; workers report every 5 seconds.
	heartbeat = 30 * time.Second
)

// working are the options of activities that read memories and write parts: they survive an outage
// of hours, and notice a cancel or a dead worker within the heartbeat.
func (e *run) working(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    longestAttempt,
		ScheduleToCloseTimeout: outageBudget,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true, // what the cleanup deletes is no longer being written
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, MaximumInterval: time.Minute},
		Priority:               temporal.Priority{FairnessKey: e.workspace},
		Summary:                summary,
	})
}

// settling are the options of activities that record an end or delete objects: they are tried for
// ever, or rows would stay as they are.
func (e *run) settling(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    heartbeat,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, MaximumInterval: time.Minute},
		Priority:            temporal.Priority{FairnessKey: e.workspace},
		Summary:             summary,
	})
}
