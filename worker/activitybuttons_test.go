package worker_test

import (
	"context"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
)

// The functions in this file press buttons of the activity WriteRange, which writes a range.

func pauseActivity(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().PauseActivity(ctx, &workflowservice.PauseActivityRequest{Namespace: "default", Execution: execution(id),
		Activity: &workflowservice.PauseActivityRequest_Type{Type: "WriteRange"}, Reason: "a test"})
	return err
}

func unpauseActivity(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().UnpauseActivity(ctx, &workflowservice.UnpauseActivityRequest{Namespace: "default", Execution: execution(id),
		Activity: &workflowservice.UnpauseActivityRequest_Type{Type: "WriteRange"}})
	return err
}

// resetActivity resets the activity WriteRange, and waits until its running attempt has been interrupted and another
// one runs.
func resetActivity(ctx context.Context, c client.Client, id string) error {
	return resetActivityUntil(ctx, c, id, enumspb.PENDING_ACTIVITY_STATE_STARTED)
}

// resetActivityUntil resets the activity WriteRange, and waits until its running attempt has been interrupted, the pause
// after it is over, and the next attempt has this state.
func resetActivityUntil(ctx context.Context, c client.Client, id string, state enumspb.PendingActivityState) error {
	if _, err := c.WorkflowService().ResetActivity(ctx, &workflowservice.ResetActivityRequest{Namespace: "default", Execution: execution(id),
		Activity: &workflowservice.ResetActivityRequest_Type{Type: "WriteRange"}}); err != nil {
		return err
	}
	return untilPending(ctx, c, id, func(a *workflowpb.PendingActivityInfo) bool {
		return a.GetAttempt() == 2 && a.GetState() == state && a.GetNextAttemptScheduleTime() == nil &&
			a.GetLastFailure().GetApplicationFailureInfo().GetType() == attempt.TypeInterrupted
	})
}

// moveActivity moves the activity WriteRange to a task queue that no worker polls, and resets it, so that its next
// attempt waits there.
func moveActivity(ctx context.Context, c client.Client, id string) error {
	if err := updateActivity(func(o *activitypb.ActivityOptions) { o.TaskQueue.Name = "nobody" }, nil)(ctx, c, id); err != nil {
		return err
	}
	return resetActivityUntil(ctx, c, id, enumspb.PENDING_ACTIVITY_STATE_SCHEDULED)
}

func moveActivityBack(ctx context.Context, c client.Client, id string) error {
	described, err := c.DescribeWorkflowExecution(ctx, export.WorkflowID(id), "")
	if err != nil {
		return err
	}
	return updateActivity(func(o *activitypb.ActivityOptions) {
		o.TaskQueue.Name = described.GetExecutionConfig().GetTaskQueue().GetName()
	}, nil)(ctx, c, id)
}

// updateActivity returns a function that changes the options of the activity WriteRange, and then waits until the
// activity is as until says, unless that is nil. Like the Temporal UI, it sends all options that the UI shows.
func updateActivity(change func(*activitypb.ActivityOptions), until func(*workflowpb.PendingActivityInfo) bool) func(context.Context, client.Client, string) error {
	return func(ctx context.Context, c client.Client, id string) error {
		options := &activitypb.ActivityOptions{TaskQueue: &taskqueuepb.TaskQueue{}, RetryPolicy: &commonpb.RetryPolicy{}}
		pending, err := pendingActivity(ctx, c, id)
		if err != nil {
			return err
		}
		if pending != nil {
			options = pending.GetActivityOptions()
		}
		change(options)
		if _, err := c.WorkflowService().UpdateActivityOptions(ctx, &workflowservice.UpdateActivityOptionsRequest{Namespace: "default", Execution: execution(id),
			Activity:        &workflowservice.UpdateActivityOptionsRequest_Type{Type: "WriteRange"},
			ActivityOptions: options, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{
				"task_queue.name", "schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout", "heartbeat_timeout",
				"retry_policy.initial_interval", "retry_policy.backoff_coefficient", "retry_policy.maximum_interval", "retry_policy.maximum_attempts",
			}}}); err != nil || until == nil {
			return err
		}
		return untilPending(ctx, c, id, until)
	}
}

// gone reports whether there is no activity.
func gone(a *workflowpb.PendingActivityInfo) bool { return a == nil }

// retried reports whether the first attempt has ended.
func retried(a *workflowpb.PendingActivityInfo) bool { return a.GetAttempt() > 1 }

// pendingActivity returns the activity WriteRange of an export, or nil if it is not pending.
func pendingActivity(ctx context.Context, c client.Client, id string) (*workflowpb.PendingActivityInfo, error) {
	described, err := c.DescribeWorkflowExecution(ctx, export.WorkflowID(id), "")
	for _, a := range described.GetPendingActivities() {
		if a.GetActivityType().GetName() == "WriteRange" {
			return a, err
		}
	}
	return nil, err
}

// untilPending waits until the activity WriteRange is as want says.
func untilPending(ctx context.Context, c client.Client, id string, want func(*workflowpb.PendingActivityInfo) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		pending, err := pendingActivity(ctx, c, id)
		if err != nil {
			return err
		}
		if want(pending) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// completeActivity completes the activity WriteRange by hand, as "temporal activity complete" does. Its result says that
// the range has no memories.
func completeActivity(ctx context.Context, c client.Client, id string) error {
	pending, err := pendingActivity(ctx, c, id)
	if err != nil {
		return err
	}
	return c.CompleteActivityByID(ctx, "default", export.WorkflowID(id), "", pending.GetActivityId(), export.Written{}, nil)
}

// failActivity fails the activity WriteRange by hand, as "temporal activity fail" does.
func failActivity(ctx context.Context, c client.Client, id string) error {
	pending, err := pendingActivity(ctx, c, id)
	if err != nil {
		return err
	}
	return c.CompleteActivityByID(ctx, "default", export.WorkflowID(id), "", pending.GetActivityId(), nil,
		temporal.NewNonRetryableApplicationError("a test", "", nil))
}
