package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
)

// Reconcile runs on a schedule and brings rows and workflows together again.
func Reconcile(ctx workflow.Context) (activities.Reconciled, error) {
	var done activities.Reconciled
	err := workflow.ExecuteActivity(scheduled(ctx), act.Reconcile).Get(ctx, &done)
	return done, err
}

// Sweep runs on a schedule and deletes orphaned objects; it returns of how many exports.
func Sweep(ctx workflow.Context) (int, error) {
	var swept int
	err := workflow.ExecuteActivity(scheduled(ctx), act.Sweep).Get(ctx, &swept)
	return swept, err
}

// scheduled are the options of work that the next run of the schedule repeats anyway.
func scheduled(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    time.Hour,
		ScheduleToCloseTimeout: 2 * time.Hour,
		HeartbeatTimeout:       heartbeat,
		RetryPolicy:            &temporal.RetryPolicy{MaximumInterval: time.Minute},
	})
}
