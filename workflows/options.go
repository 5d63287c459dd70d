package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/attempt"
)

const (
	// outageBudget is how long an activity is retried before its export fails. With 12 hours, exports
	// survive an outage of the memories database or of the object store that lasts a night.
	outageBudget = 12 * time.Hour
	// longestAttempt limits an attempt that sends heartbeats but never returns. It is half of
	// outageBudget, so that there is time for another attempt.
	longestAttempt = 6 * time.Hour
	// longestCleanup limits an attempt to record a status or to delete objects, in the same way.
	longestCleanup = time.Hour
)

// retryPolicy returns a policy whose first waits are short, because most faults are short. Later it
// retries every minute.
func retryPolicy() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, MaximumInterval: time.Minute}
}

// working sets the options of the activities that read memories and write parts. With these options, an
// activity survives an outage of hours, and a cancellation or a dead worker is noticed within the
// heartbeat timeout.
func (r *run) working(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    longestAttempt,
		ScheduleToCloseTimeout: outageBudget,
		HeartbeatTimeout:       attempt.HeartbeatTimeout,
		WaitForCancellation:    true, // the cleanup must not begin while objects are still being written
		RetryPolicy:            retryPolicy(),
		Priority:               temporal.Priority{FairnessKey: r.workspace},
		Summary:                summary,
	})
}

// settling sets the options of the activities that record a final status or delete objects. They are
// retried without limit, because no other activity would do their work.
func (r *run) settling(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: longestCleanup,
		HeartbeatTimeout:    attempt.HeartbeatTimeout,
		RetryPolicy:         retryPolicy(),
		Priority:            temporal.Priority{FairnessKey: r.workspace},
		Summary:             summary,
	})
}
