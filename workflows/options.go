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
	// longestCleanup limits an attempt to record a status or to delete objects that sends heartbeats but never
	// returns.
	longestCleanup = time.Hour
)

const (
	// soon is the longest pause between two attempts of an activity that somebody waits for.
	soon = time.Minute
	// later is the longest pause between two attempts to delete objects. Nobody waits for the deletion, and
	// its attempts may fail for months, for example if the credentials do not permit it. A pause of an hour
	// makes 720 attempts a month; a minute would make 43,200.
	later = time.Hour
)

// retryPolicy returns a policy that starts with short pauses, because most faults are short, and doubles them
// up to longest.
func retryPolicy(longest time.Duration) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, MaximumInterval: longest}
}

// working sets the options of the activities that read memories and write parts. With these options, an
// activity survives an outage of hours, and a cancellation or a dead worker is noticed within the
// heartbeat timeout.
func (r *run) working(ctx workflow.Context, summary string) workflow.Context {
	policy := retryPolicy(soon)
	if r.handOver {
		policy.NonRetryableErrorTypes = []string{attempt.TypeWorkerStopping} // execute runs the activity again
	}
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    longestAttempt,
		ScheduleToCloseTimeout: outageBudget,
		HeartbeatTimeout:       attempt.HeartbeatTimeout,
		WaitForCancellation:    true, // the cleanup must not begin while objects are still being written
		RetryPolicy:            policy,
		Priority:               temporal.Priority{FairnessKey: r.workspace},
		Summary:                summary,
	})
}

// execute runs an activity with the options of working, and stores its result. When a stopping worker hands the
// activity over, execute runs it again at once. A retry by Temporal would come about a second later, because
// Temporal starts no timer sooner than that.
func (r *run) execute(ctx workflow.Context, activity, input, result any) error {
	giveUp := workflow.Now(ctx).Add(outageBudget)
	for {
		err := workflow.ExecuteActivity(ctx, activity, input).Get(ctx, result)
		left := giveUp.Sub(workflow.Now(ctx))
		if !r.handOver || attempt.ErrorType(err) != attempt.TypeWorkerStopping || left <= 0 {
			return err
		}
		ctx = workflow.WithScheduleToCloseTimeout(ctx, left)
	}
}

// settling sets the options of the activities that record a final status. They are retried without limit,
// because no other activity would do their work.
func (r *run) settling(ctx workflow.Context, summary string) workflow.Context {
	return r.endless(ctx, summary, soon)
}

// cleaning sets the options of the activity that deletes objects, which is also retried without limit.
func (r *run) cleaning(ctx workflow.Context, summary string) workflow.Context {
	return r.endless(ctx, summary, later)
}

// endless sets the options that settling and cleaning have in common. Their activities usually take less
// than a second, so they come before those that read memories, whose priority is Temporal's default of 3.
func (r *run) endless(ctx workflow.Context, summary string, longestPause time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: longestCleanup,
		HeartbeatTimeout:    attempt.HeartbeatTimeout,
		RetryPolicy:         retryPolicy(longestPause),
		Priority:            temporal.Priority{PriorityKey: 1, FairnessKey: r.workspace},
		Summary:             summary,
	})
}
