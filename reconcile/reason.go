package reconcile

import (
	"context"
	"fmt"

	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// Reason is the likely reason why an export is stuck.
type Reason string

// Reasons lists every reason.
var Reasons = []Reason{ReasonWorkflowPaused, ReasonActivityPaused, ReasonNoPoller, ReasonNotCurrent,
	ReasonWorkflowTaskFails, ReasonActivityFails, ReasonBusy}

// The reasons, in the order in which they are looked for.
const (
	ReasonWorkflowPaused    Reason = "workflow-paused"
	ReasonActivityPaused    Reason = "activity-paused"
	ReasonNoPoller          Reason = "no-poller"           // no worker polls the task queue of the workflow or of an activity that waits
	ReasonNotCurrent        Reason = "not-current"         // workers poll the queue, but none has the version that gets the tasks
	ReasonWorkflowTaskFails Reason = "workflow-task-fails" // the workflow's code panics, or does not fit its history
	ReasonActivityFails     Reason = "activity-fails"      // an activity has failed and is retried
	ReasonBusy              Reason = "busy"                // a task waits although workers poll the queue
)

// diagnosis is a reason in words: what is wrong and what to do. Its reason is empty if the workflow makes
// progress.
type diagnosis struct {
	reason   Reason
	detail   string
	activity string // the activity that fails, if the reason is ReasonActivityFails
}

// diagnose looks for the reason why a running workflow makes no progress.
func (i *inspector) diagnose(ctx context.Context, d *workflowservice.DescribeWorkflowExecutionResponse) (diagnosis, error) {
	if d.GetWorkflowExtendedInfo().GetPauseInfo() != nil || d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED {
		return diagnosis{reason: ReasonWorkflowPaused, detail: "somebody paused the workflow: unpause it, or cancel it"}, nil
	}
	for _, a := range d.GetPendingActivities() {
		if a.GetPaused() {
			return diagnosis{reason: ReasonActivityPaused, detail: fmt.Sprintf("somebody paused the activity %s: unpause it, or cancel the workflow", a.GetActivityType().GetName())}, nil
		}
	}
	name := d.GetExecutionConfig().GetTaskQueue().GetName()
	queue, err := i.queue(ctx, name)
	if err != nil {
		return diagnosis{}, err
	}
	if len(queue.GetPollers()) == 0 {
		return diagnosis{reason: ReasonNoPoller, detail: fmt.Sprintf("no worker polls the task queue %s: start a worker with TASK_QUEUE=%s, or delete the workflow, and the reconciler starts it again on its own queue", name, name)}, nil
	}
	if moved, err := i.moved(ctx, d); err != nil || moved.reason != "" {
		return moved, err
	}
	if want := wantedVersion(d.GetWorkflowExecutionInfo().GetVersioningInfo(), queue); !polled(queue.GetPollers(), want) {
		return diagnosis{reason: ReasonNotCurrent, detail: fmt.Sprintf("the tasks go to %s, but none polls the task queue %s: start such a worker, or make the version of a running worker current",
			versionName(want), name)}, nil
	}
	if task := d.GetPendingWorkflowTask(); task.GetAttempt() > 1 {
		return diagnosis{reason: ReasonWorkflowTaskFails, detail: fmt.Sprintf("the workflow task has failed %d times: the worker's log and the workflow's history say why", task.GetAttempt()-1)}, nil
	}
	return diagnoseActivities(d), nil
}

// moved reports an activity that waits on a task queue of its own, which no worker polls. Only an operator can have
// moved it there.
func (i *inspector) moved(ctx context.Context, d *workflowservice.DescribeWorkflowExecutionResponse) (diagnosis, error) {
	home := d.GetExecutionConfig().GetTaskQueue().GetName()
	for _, a := range d.GetPendingActivities() {
		name := a.GetActivityOptions().GetTaskQueue().GetName() // empty if the server is too old to tell
		if a.GetState() != enumspb.PENDING_ACTIVITY_STATE_SCHEDULED || name == "" || name == home {
			continue
		}
		queue, err := i.queue(ctx, name)
		if err != nil {
			return diagnosis{}, err
		}
		if len(queue.GetPollers()) == 0 {
			return diagnosis{reason: ReasonNoPoller, detail: fmt.Sprintf("somebody moved the activity %s to the task queue %s, which no worker polls: update its options and set the task queue %s again, or cancel the workflow",
				a.GetActivityType().GetName(), name, home)}, nil
		}
	}
	return diagnosis{}, nil
}

func diagnoseActivities(d *workflowservice.DescribeWorkflowExecutionResponse) diagnosis {
	waits := d.GetPendingWorkflowTask().GetState() == enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
	for _, a := range d.GetPendingActivities() {
		// After one failure, the next attempt runs.
		retried := a.GetAttempt() == 2 && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
		if failure := a.GetLastFailure(); failure != nil && a.GetAttempt() > 1 && !retried {
			return diagnosis{reason: ReasonActivityFails, detail: fmt.Sprintf("the activity %s has failed %d times, at last with %s", a.GetActivityType().GetName(), a.GetAttempt()-1, failureType(failure)), activity: a.GetActivityType().GetName()}
		}
		waits = waits || a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
	}
	if waits {
		return diagnosis{reason: ReasonBusy, detail: "a task waits for a worker: start more workers, or raise WORKER_CONCURRENCY"}
	}
	return diagnosis{}
}

// failureType returns the type of an activity's failure, without its message.
func failureType(f *failurepb.Failure) string {
	if name := f.GetApplicationFailureInfo().GetType(); name != "" {
		return name
	}
	if timeout := f.GetTimeoutFailureInfo(); timeout != nil {
		return "a timeout (" + timeout.GetTimeoutType().String() + ")"
	}
	return "an unknown error"
}

// wantedVersion returns the version of the workers that get the tasks of a workflow, or nil if these are
// workers without versioning.
func wantedVersion(v *workflowpb.WorkflowExecutionVersioningInfo, queue *workflowservice.DescribeTaskQueueResponse) *deploymentpb.WorkerDeploymentVersion {
	if pinned := v.GetVersioningOverride().GetPinned().GetVersion(); pinned != nil {
		return pinned
	}
	if v.GetBehavior() == enumspb.VERSIONING_BEHAVIOR_PINNED {
		return v.GetDeploymentVersion()
	}
	return queue.GetVersioningInfo().GetCurrentDeploymentVersion()
}

// polled reports whether a worker of this version polls. A nil version stands for workers without
// versioning.
func polled(pollers []*taskqueuepb.PollerInfo, version *deploymentpb.WorkerDeploymentVersion) bool {
	for _, p := range pollers {
		o := p.GetDeploymentOptions()
		versioned := o.GetWorkerVersioningMode() == enumspb.WORKER_VERSIONING_MODE_VERSIONED
		if version == nil && !versioned {
			return true
		}
		if version != nil && versioned && o.GetDeploymentName() == version.GetDeploymentName() && o.GetBuildId() == version.GetBuildId() {
			return true
		}
	}
	return false
}

func versionName(v *deploymentpb.WorkerDeploymentVersion) string {
	if v == nil {
		return "workers without WORKER_BUILD_ID, because no version is current"
	}
	return "workers with WORKER_BUILD_ID=" + v.GetBuildId() + " and WORKER_DEPLOYMENT_NAME=" + v.GetDeploymentName()
}
