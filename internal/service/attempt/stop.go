package attempt

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// errWorkerStopping ends an attempt whose worker shuts down. The workflow then runs the activity again on another
// worker. If older code has started the workflow, Temporal retries the activity instead, after NextRetryDelay.
// The error is benign, so Temporal does not count it as a failure.
var errWorkerStopping = temporal.NewApplicationErrorWithOptions("the worker is shutting down", TypeWorkerStopping,
	temporal.ApplicationErrorOptions{NextRetryDelay: 100 * time.Millisecond, Category: temporal.ApplicationErrorCategoryBenign})

// stopPatience is how long an attempt may go on when its worker shuts down. A range of the usual size is written in
// half a second, so most attempts end in this time, and no work is lost.
const stopPatience = 2 * time.Second

// UntilWorkerStops runs work with a context that ends with ctx, or 2 seconds after the worker begins to shut down. If
// work fails after its context has ended, UntilWorkerStops returns the reason for the end instead of
// the error: a cancellation, or an error that makes another worker continue at once.
func UntilWorkerStops[T any](ctx context.Context, work func(context.Context) (T, error)) (T, error) {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopping := activity.GetWorkerStopChannel(ctx)
	go func() {
		select {
		case <-stopping:
		case <-working.Done():
			return
		}
		select {
		case <-time.After(stopPatience):
			cancel(errWorkerStopping)
		case <-working.Done():
		}
	}()
	result, err := work(working)
	if err != nil && working.Err() != nil {
		err = Interruption(working)
	}
	return result, err
}

// Interruption returns the error with which an attempt ends because ctx has ended, or nil if ctx has not
// ended. The error is a cancellation if Temporal has cancelled the activity. Otherwise it is retryable.
func Interruption(ctx context.Context) error {
	cause := context.Cause(ctx)
	var typed *temporal.ApplicationError
	if cause == nil || cause == context.Canceled || temporal.IsCanceledError(cause) || errors.As(cause, &typed) {
		return cause
	}
	return Retryable(TypeInterrupted, cause)
}
