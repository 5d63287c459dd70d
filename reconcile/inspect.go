package reconcile

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/export"
	"memexport/workflows"
)

// inspector asks Temporal about workflows and task queues. It asks once about each queue, so use a new
// inspector for each run.
type inspector struct {
	client client.Client
	queues map[string]*workflowservice.DescribeTaskQueueResponse
}

// workflow returns the state of an export's workflow, and its description unless the state is missing.
func (i *inspector) workflow(ctx context.Context, exportID string) (workflowState, *workflowservice.DescribeWorkflowExecutionResponse, error) {
	description, err := i.client.DescribeWorkflowExecution(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return missing, nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("describe the workflow: %w", err)
	}
	state := ended
	switch status := description.WorkflowExecutionInfo.Status; {
	case workflows.Running(status):
		state = running
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, status == enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		state = terminated
	}
	return state, description, nil
}

// queue returns what Temporal knows about a task queue, such as the workers that have polled it in the last
// five minutes.
func (i *inspector) queue(ctx context.Context, name string) (*workflowservice.DescribeTaskQueueResponse, error) {
	if queue, ok := i.queues[name]; ok {
		return queue, nil
	}
	queue, err := i.client.DescribeTaskQueue(ctx, name, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return nil, fmt.Errorf("describe the task queue %s: %w", name, err)
	}
	if i.queues == nil {
		i.queues = map[string]*workflowservice.DescribeTaskQueueResponse{}
	}
	i.queues[name] = queue
	return queue, nil
}
