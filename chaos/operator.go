package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

func workflowID(j *job) string { return "export-" + j.id }

func execution(j *job) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: workflowID(j)}
}

// operatorFaults are what people do in the Temporal UI and with keys. Errors are ignored: Temporal may be away, and
// the workflow may have ended.
func (w *world) operatorFaults() lane {
	press := func(do func(ctx context.Context, j *job), statuses ...string) func(context.Context, *rand.Rand) string {
		return func(ctx context.Context, r *rand.Rand) string {
			j := w.jobs.choose(r, statuses...)
			if j == nil {
				return ""
			}
			ctx, stop := context.WithTimeout(ctx, 5*time.Second)
			defer stop()
			do(ctx, j)
			return j.id
		}
	}
	var paused *job
	return lane{
		{kind: "operator cancels", strike: press(func(ctx context.Context, j *job) {
			j.mark(func(j *job) { j.cancelled = true })
			_ = w.operator.CancelWorkflow(ctx, workflowID(j), "")
		}, "PENDING", "PROCESSING", "READY")},
		{kind: "operator terminates", strike: press(func(ctx context.Context, j *job) {
			j.mark(func(j *job) { j.killed = true })
			_ = w.operator.TerminateWorkflow(ctx, workflowID(j), "", "chaos")
		}, "PENDING", "PROCESSING")},
		{kind: "operator resets", strike: press(func(ctx context.Context, j *job) { w.reset(ctx, j, anyTask) }, "PROCESSING", "READY")},
		{kind: "operator resets", strike: press(func(ctx context.Context, j *job) { w.reset(ctx, j, anyTask) }, "PROCESSING")},
		{kind: "operator expires now", strike: press(func(ctx context.Context, j *job) {
			j.mark(func(j *job) { j.ended = true })
			_, _ = w.operator.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: workflowID(j), UpdateName: "expire-now",
				WaitForStage: client.WorkflowUpdateStageAccepted})
		}, "READY")},
		{kind: "operator pauses a workflow", from: time.Second, to: 10 * time.Second, strike: press(func(ctx context.Context, j *job) {
			paused = j
			if described, err := w.operator.DescribeWorkflowExecution(ctx, workflowID(j), ""); err != nil || described.GetPendingWorkflowTask() != nil {
				return // a pause would lose a workflow task that waits for a worker: see docs/temporal-ui.md
			}
			_, _ = w.operator.WorkflowService().PauseWorkflowExecution(ctx, &workflowservice.PauseWorkflowExecutionRequest{
				Namespace: client.DefaultNamespace, WorkflowId: workflowID(j), Reason: "chaos", RequestId: uuid.NewString()})
		}, "PROCESSING", "READY"), heal: func(ctx context.Context) error { return w.unpause(ctx, paused) }},
		{kind: "key revoked", strike: func(_ context.Context, r *rand.Rand) string {
			ws := w.workspaces[r.IntN(len(w.workspaces))]
			w.revoke(ws)
			return ws.id
		}},
	}
}

// unpause continues a workflow. It succeeds if the workflow is not paused or has ended.
func (w *world) unpause(ctx context.Context, j *job) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	_, err := w.operator.WorkflowService().UnpauseWorkflowExecution(ctx, &workflowservice.UnpauseWorkflowExecutionRequest{
		Namespace: client.DefaultNamespace, WorkflowId: workflowID(j), Reason: "chaos", RequestId: uuid.NewString()})
	if err == nil {
		return nil
	}
	described, describeErr := w.operator.DescribeWorkflowExecution(ctx, workflowID(j), "")
	if describeErr == nil && described.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
		return nil
	}
	return err
}

// anyTask chooses the task to which an operator resets a workflow. It does not use the seed, because two runs with
// the same seed have different histories anyway.
func anyTask(tasks []int64) int64 { return tasks[rand.IntN(len(tasks))] }

// reset resets a workflow to one of its completed workflow tasks.
func (w *world) reset(ctx context.Context, j *job, choose func(tasks []int64) int64) {
	var tasks []int64
	events := w.operator.GetWorkflowHistory(ctx, workflowID(j), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return
		}
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			tasks = append(tasks, event.GetEventId())
		}
	}
	if len(tasks) == 0 {
		return
	}
	_, _ = w.operator.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: client.DefaultNamespace,
		WorkflowExecution: execution(j), Reason: "chaos", RequestId: uuid.NewString(), WorkflowTaskFinishEventId: choose(tasks)})
}

// revoke replaces the key of a workspace. A request with the old key that begins after the revocation must be
// refused.
func (w *world) revoke(ws *workspace) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	old := ws.secret()
	for ws.renewKey(ctx) != nil {
		if ws.secret() != old { // the new key is stored, but the old key may still be valid
			return
		}
		if !pause(ctx, 200*time.Millisecond) {
			return
		}
	}
	if a := ws.askAs(ctx, old, 0, "GET", "/v1/exports", 0); a != nil && a.status == 200 {
		w.violate("", "a revoked key of the workspace %s was accepted", ws.id)
	}
}
