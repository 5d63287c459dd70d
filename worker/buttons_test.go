package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	activitypb "go.temporal.io/api/activity/v1"
	batchpb "go.temporal.io/api/batch/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"memexport/internal/service/export"
	"memexport/workflows"
)

// A button is an action that an operator can take on a workflow in the Temporal UI or with Temporal's CLI.
type button struct {
	name   string
	press  func(ctx context.Context, c client.Client, exportID string) error
	finish func(ctx context.Context, c client.Client, exportID string) error // undoes press some time later; nil if there is nothing to undo
}

func buttons() []button {
	return []button{
		{name: "Cancel", press: func(ctx context.Context, c client.Client, id string) error {
			return c.CancelWorkflow(ctx, export.WorkflowID(id), "")
		}},
		{name: "Terminate", press: func(ctx context.Context, c client.Client, id string) error {
			return c.TerminateWorkflow(ctx, export.WorkflowID(id), "", "a test")
		}},
		{name: "Reset to the first task", press: resetTo(func(tasks int) int { return 0 })},
		{name: "Reset to a middle task", press: resetTo(func(tasks int) int { return tasks / 2 })},
		{name: "Reset to the last task", press: resetTo(func(tasks int) int { return tasks - 1 })},
		{name: "Pause and unpause the activity", press: pauseActivity, finish: unpauseActivity},
		{name: "Reset the activity", press: resetActivity},
		{name: "Update the activity: one attempt", press: updateActivity(func(o *activitypb.ActivityOptions) {
			o.RetryPolicy.MaximumAttempts = 1
		}, nil)},
		{name: "Update the activity: a heartbeat timeout of 2 s", press: updateActivity(func(o *activitypb.ActivityOptions) {
			o.HeartbeatTimeout = durationpb.New(2 * time.Second)
		}, retried)},
		{name: "Update the activity: all timeouts 1 s", press: updateActivity(func(o *activitypb.ActivityOptions) {
			second := durationpb.New(time.Second)
			o.ScheduleToCloseTimeout, o.ScheduleToStartTimeout, o.StartToCloseTimeout, o.HeartbeatTimeout = second, second, second, second
		}, gone)},
		{name: "Update the activity: another task queue, and back", press: moveActivity, finish: moveActivityBack},
		{name: "Complete the activity, by the CLI", press: completeActivity},
		{name: "Fail the activity, by the CLI", press: failActivity},
		{name: pauseButton, press: pauseWorkflow, finish: unpauseWorkflow},
		{name: "Signal", press: func(ctx context.Context, c client.Client, id string) error {
			return c.SignalWorkflow(ctx, export.WorkflowID(id), "", "unknown", nil)
		}},
		{name: "Update `expire-now`", press: update(workflows.UpdateExpireNow)},
		{name: "Another update", press: update("unknown")},
		{name: "Start again, same id", press: func(ctx context.Context, c client.Client, id string) error {
			return startAgain(ctx, c, id, export.WorkflowID(id))
		}},
		{name: "Start again, another id", press: func(ctx context.Context, c client.Client, id string) error {
			return startAgain(ctx, c, id, "again-"+id)
		}},
		{name: "Delete the workflow", press: deleteWorkflow},
		{name: "Batch cancel", press: batch(func(r *workflowservice.StartBatchOperationRequest) {
			r.Operation = &workflowservice.StartBatchOperationRequest_CancellationOperation{CancellationOperation: &batchpb.BatchOperationCancellation{}}
		})},
		{name: "Batch terminate", press: batch(func(r *workflowservice.StartBatchOperationRequest) {
			r.Operation = &workflowservice.StartBatchOperationRequest_TerminationOperation{TerminationOperation: &batchpb.BatchOperationTermination{}}
		})},
		{name: "Batch reset to the first task", press: batchReset(&commonpb.ResetOptions{Target: &commonpb.ResetOptions_FirstWorkflowTask{}})},
		{name: "Batch reset to the last task", press: batchReset(&commonpb.ResetOptions{Target: &commonpb.ResetOptions_LastWorkflowTask{}})},
		{name: "Batch signal", press: batch(func(r *workflowservice.StartBatchOperationRequest) {
			r.Operation = &workflowservice.StartBatchOperationRequest_SignalOperation{SignalOperation: &batchpb.BatchOperationSignal{Signal: "unknown"}}
		})},
	}
}

// pauseButton names the button that pauses a workflow. If no worker has taken the workflow's first task yet,
// the server then loses that task. docs/temporal-ui.md describes this error of the server and its repair.
const pauseButton = "Pause and unpause the workflow"

func deleteWorkflow(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{Namespace: "default", WorkflowExecution: execution(id)})
	return err
}

func execution(exportID string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: export.WorkflowID(exportID)}
}

// resetTo returns a function that resets a workflow to one of its completed workflow tasks. choose
// receives the number of completed workflow tasks and returns the index of the chosen one.
func resetTo(choose func(tasks int) int) func(context.Context, client.Client, string) error {
	return func(ctx context.Context, c client.Client, id string) error {
		var tasks []int64
		events := c.GetWorkflowHistory(ctx, export.WorkflowID(id), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				return err
			}
			if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
				tasks = append(tasks, event.GetEventId())
			}
		}
		if len(tasks) == 0 {
			return fmt.Errorf("the workflow has no completed task")
		}
		_, err := c.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: "default", WorkflowExecution: execution(id), Reason: "a test", RequestId: uuid.NewString(),
			WorkflowTaskFinishEventId: tasks[choose(len(tasks))],
		})
		return err
	}
}

func pauseWorkflow(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().PauseWorkflowExecution(ctx, &workflowservice.PauseWorkflowExecutionRequest{
		Namespace: "default", WorkflowId: export.WorkflowID(id), Reason: "a test", RequestId: uuid.NewString()})
	return err
}

func unpauseWorkflow(ctx context.Context, c client.Client, id string) error {
	_, err := c.WorkflowService().UnpauseWorkflowExecution(ctx, &workflowservice.UnpauseWorkflowExecutionRequest{
		Namespace: "default", WorkflowId: export.WorkflowID(id), Reason: "a test", RequestId: uuid.NewString()})
	return err
}

// update returns a function that sends an update to a workflow. If no worker has run the workflow yet, nothing
// answers the update, so the function gives up after a second.
func update(name string) func(context.Context, client.Client, string) error {
	return func(ctx context.Context, c client.Client, id string) error {
		described, err := c.DescribeWorkflowExecution(ctx, export.WorkflowID(id), "")
		if err == nil && described.GetWorkflowExecutionInfo().GetHistoryLength() <= 2 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: export.WorkflowID(id), UpdateName: name, WaitForStage: client.WorkflowUpdateStageCompleted})
		if err != nil {
			return err
		}
		return handle.Get(ctx, nil)
	}
}

// startAgain starts a workflow with the input of an export, as the button "Start workflow like this one"
// does.
func startAgain(ctx context.Context, c client.Client, exportID, workflowID string) error {
	described, err := c.DescribeWorkflowExecution(ctx, export.WorkflowID(exportID), "")
	if err != nil {
		return err
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: described.GetExecutionConfig().GetTaskQueue().GetName(), WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, workflows.Export, workflows.ExportInput{ExportID: exportID, WorkspaceID: workspaceID, SearchAttributes: true})
	return err
}

// batchReset returns a function that resets a workflow by a batch operation.
func batchReset(to *commonpb.ResetOptions) func(context.Context, client.Client, string) error {
	return batch(func(r *workflowservice.StartBatchOperationRequest) {
		r.Operation = &workflowservice.StartBatchOperationRequest_ResetOperation{ResetOperation: &batchpb.BatchOperationReset{Options: to}}
	})
}

// oneBatch is held during a batch operation, because the server permits only one at a time.
var oneBatch sync.Mutex

// batch returns a function that runs a batch operation on one workflow and waits until the operation is done.
// setOperation sets the operation in the request.
func batch(setOperation func(*workflowservice.StartBatchOperationRequest)) func(context.Context, client.Client, string) error {
	return func(ctx context.Context, c client.Client, id string) error {
		oneBatch.Lock()
		defer oneBatch.Unlock()
		query := "WorkflowId = '" + export.WorkflowID(id) + "'"
		for { // visibility may lag behind
			found, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: "default", Query: query})
			if err != nil {
				return err
			}
			if found.GetCount() > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		request := &workflowservice.StartBatchOperationRequest{Namespace: "default", VisibilityQuery: query, JobId: uuid.NewString(), Reason: "a test"}
		setOperation(request)
		for {
			_, err := c.WorkflowService().StartBatchOperation(ctx, request)
			if err == nil {
				break
			}
			// Try again if the error names a batch, because the server may still count the previous batch as running.
			if !strings.Contains(err.Error(), "batch") || ctx.Err() != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		for {
			job, err := c.WorkflowService().DescribeBatchOperation(ctx, &workflowservice.DescribeBatchOperationRequest{Namespace: "default", JobId: request.JobId})
			if err != nil {
				return err
			}
			if job.GetState() != enumspb.BATCH_OPERATION_STATE_RUNNING {
				if job.GetFailureOperationCount() > 0 {
					return fmt.Errorf("the batch failed for %d workflows", job.GetFailureOperationCount())
				}
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}
