package attempt

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// errWorkerStopping ends an attempt whose worker shuts down. Another worker takes over at once. The
// error is benign, so Temporal does not count it as a failure.
var errWorkerStopping = temporal.NewApplicationErrorWithOptions("the worker is shutting down", "WorkerStopping",
	temporal.ApplicationErrorOptions{NextRetryDelay: 100 * time.Millisecond, Category: temporal.ApplicationErrorCategoryBenign})

// UntilWorkerStops runs work with a context that ends with ctx, or when the worker shuts down. If
// work fails after its context has ended, UntilWorkerStops returns the reason for the end instead of
// the error: a cancellation, or an error that makes Temporal retry on another worker at once.
func UntilWorkerStops[T any](ctx context.Context, work func(context.Context) (T, error)) (T, error) {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopping := activity.GetWorkerStopChannel(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errWorkerStopping)
		case <-working.Done():
		}
	}()
	result, err := work(working)
	if err != nil && working.Err() != nil {
		err = context.Cause(working)
	}
	return result, err
}
