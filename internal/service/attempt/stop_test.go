package attempt_test

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"memexport/internal/service/attempt"
)

// whileStopping runs work in an activity whose worker shuts down.
func whileStopping(t *testing.T, work func(context.Context) (int, error)) (result int, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	stopping := make(chan struct{})
	close(stopping)
	env.SetWorkerStopChannel(stopping)
	until := func(ctx context.Context) (int, error) { return attempt.UntilWorkerStops(ctx, work) }
	env.RegisterActivity(until)
	value, err := env.ExecuteActivity(until)
	if err == nil {
		err = value.Get(&result)
	}
	return result, err
}

func TestWorkThatEndsSoonIsFinishedWhileItsWorkerStops(t *testing.T) {
	got, err := whileStopping(t, func(ctx context.Context) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
			return 7, nil
		}
	})
	if err != nil || got != 7 {
		t.Errorf("the work returned %d, %v", got, err)
	}
}

func TestLongWorkIsHandedOverWhenItsWorkerStops(t *testing.T) {
	_, err := whileStopping(t, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	if attempt.ErrorType(err) != attempt.TypeWorkerStopping {
		t.Errorf("the work ended with %v", err)
	}
}
