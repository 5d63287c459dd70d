// Package reconcile repairs what the workflows of exports cannot repair themselves. The workflow Reconcile
// finds exports whose row and workflow disagree, and the workflow Sweep deletes old rows and objects that
// belong to no export. Both run on a schedule.
//
// The code of the workflows must stay deterministic, as in package workflows.
package reconcile

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/attempt"
)

// RunTimeout is how long a run of a schedule may be open. The schedule starts no other run while one is open. So
// RunTimeout bounds how long a run that no worker takes can stop the schedule. It is longer than the activity's
// ScheduleToCloseTimeout.
const RunTimeout = 3 * time.Hour

// Reconcile runs the activity Reconcile and returns what it has done. The Temporal UI shows the same in
// words.
func Reconcile(ctx workflow.Context) (Reconciled, error) {
	var a *Activities // nil, because it is only used to name the activity
	var done Reconciled
	err := workflow.ExecuteActivity(withOptions(ctx), a.Reconcile).Get(ctx, &done)
	workflow.SetCurrentDetails(ctx, done.markdown())
	return done, err
}

// Sweep runs the activity Sweep and returns the number of exports whose objects it deleted.
func Sweep(ctx workflow.Context) (int, error) {
	var a *Activities
	var swept int
	err := workflow.ExecuteActivity(withOptions(ctx), a.Sweep).Get(ctx, &swept)
	return swept, err
}

// withOptions sets the options of both activities. Their retries are limited, because the next run of the
// schedule does the work that is left. They come before activities that read memories, whose backlog may be long.
func withOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    time.Hour,     // bounds an attempt that never returns
		ScheduleToCloseTimeout: 2 * time.Hour, // after this, the schedule's next run does the work
		HeartbeatTimeout:       attempt.HeartbeatTimeout,
		RetryPolicy:            &temporal.RetryPolicy{MaximumInterval: time.Minute},
		Priority:               temporal.Priority{PriorityKey: 1},
	})
}
