package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"memexport/reconcile"
)

const (
	// defaultScheduleCheck is how often a running worker looks at the schedules.
	defaultScheduleCheck = 5 * time.Minute
	// scheduleToldEvery is how often a worker logs again that the same schedule is still paused, or still belongs to
	// another task queue.
	scheduleToldEvery = time.Hour
)

// schedules creates the two schedules of the service, and creates them again if somebody deletes them.
type schedules struct {
	*Options
	told map[string]time.Time // when this worker last logged a warning about a schedule; see tell
}

// keep calls ensure at an interval until ctx ends. Without keep, a schedule that somebody deletes would be
// missing until the next worker starts.
func (s *schedules) keep(ctx context.Context) {
	ticker := time.NewTicker(cmp.Or(s.ScheduleCheck, defaultScheduleCheck))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := s.ensure(ctx, whileRunning); err != nil && ctx.Err() == nil {
			s.Log.Warn("the schedules could not be checked; the worker tries again", "error", err)
		}
	}
}

// occasion says when a worker looks at the schedules.
type occasion int

const (
	atStart occasion = iota
	whileRunning
)

// ensure creates both schedules, or changes existing ones to match the options.
func (s *schedules) ensure(ctx context.Context, when occasion) error {
	return errors.Join(
		s.ensureOne(ctx, "memexport-reconcile", reconcile.Reconcile, s.ReconcileEvery, when),
		s.ensureOne(ctx, "memexport-sweep", reconcile.Sweep, s.SweepEvery, when),
	)
}

// ensureOne creates or updates a schedule that starts a workflow at an interval, unless the previous run is
// still running. Several workers may call ensureOne at the same time, because all of them set the same
// schedule. A paused schedule stays paused.
//
// A schedule with another task queue, and its runs there, are taken over by a worker that starts. A worker that
// runs already takes them over only if no worker polls that queue any more. So workers of two queues, as in a
// rolling change of the queue, do not change the schedule in turns and do not end each other's runs.
func (s *schedules) ensureOne(ctx context.Context, id string, workflow any, every time.Duration, when occasion) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{ID: id, Workflow: workflow, TaskQueue: s.TaskQueue, WorkflowRunTimeout: reconcile.RunTimeout}
	handle := s.Client.ScheduleClient().GetHandle(ctx, id)
	description, err := handle.Describe(ctx)
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return s.create(ctx, id, spec, action)
	}
	if err != nil {
		return fmt.Errorf("describe the schedule %s: %w", id, err)
	}
	s.tellPaused(id, description.Schedule.State)
	shared, err := s.shared(ctx, id, description.Schedule)
	switch {
	case err != nil && when == atStart: // not returned, because a worker that starts takes the schedule over in any case
		s.Log.Warn("the pollers of the task queue of a schedule could not be looked up", "schedule", id, "error", err)
	case err != nil:
		return err
	case shared && when == whileRunning:
		return nil
	}
	if !upToDate(description.Schedule, action, every) {
		err := handle.Update(ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				schedule := in.Description.Schedule
				schedule.Spec, schedule.Action = &spec, action
				return &client.ScheduleUpdate{Schedule: &schedule}, nil
			},
		})
		if err != nil {
			return fmt.Errorf("update the schedule %s: %w", id, err)
		}
		// Ask again for the runs, because the schedule may have started one on the other queue before the update.
		if description, err = handle.Describe(ctx); err != nil {
			return fmt.Errorf("describe the schedule %s: %w", id, err)
		}
	}
	for _, run := range description.Info.RunningWorkflows {
		if err := s.release(ctx, run, when); err != nil { // not returned, because a worker must start without this permission
			s.Log.Warn("an open run of a schedule could not be checked; no other run starts until it ends, at the latest after "+reconcile.RunTimeout.String(),
				"schedule", id, "workflow_id", run.WorkflowID, "error", err)
		}
	}
	return nil
}

// create creates a schedule, unless another worker has just created it.
func (s *schedules) create(ctx context.Context, id string, spec client.ScheduleSpec, action client.ScheduleAction) error {
	_, err := s.Client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, // after an outage, one run does the work of all missed runs
	})
	if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return fmt.Errorf("create the schedule %s: %w", id, err)
	}
	return nil
}

func upToDate(schedule client.Schedule, want *client.ScheduleWorkflowAction, every time.Duration) bool {
	current, ok := schedule.Action.(*client.ScheduleWorkflowAction)
	return ok && current.Workflow == typeName(want.Workflow) && len(current.Args) == 0 &&
		current.TaskQueue == want.TaskQueue && current.WorkflowRunTimeout == want.WorkflowRunTimeout &&
		len(schedule.Spec.Intervals) == 1 && schedule.Spec.Intervals[0].Every == every
}

// typeName returns the name under which the SDK registers a workflow function: the name of the function.
func typeName(workflow any) string {
	name := runtime.FuncForPC(reflect.ValueOf(workflow).Pointer()).Name()
	return name[strings.LastIndexByte(name, '.')+1:]
}

// shared reports whether a schedule starts its runs on another task queue that workers poll, and logs that.
func (s *schedules) shared(ctx context.Context, id string, schedule client.Schedule) (bool, error) {
	action, ok := schedule.Action.(*client.ScheduleWorkflowAction)
	if !ok || action.TaskQueue == s.TaskQueue {
		delete(s.told, sharedKey(id))
		return false, nil
	}
	polled, err := s.polled(ctx, action.TaskQueue)
	if polled {
		s.tell(sharedKey(id), "workers of another task queue use the same schedule, or did so in the last five minutes: "+
			"if TASK_QUEUE was changed, stop the workers of the other queue; otherwise give each deployment a Temporal namespace of its own, "+
			"because the schedule serves only one of them", "schedule", id, "other_task_queue", action.TaskQueue)
	}
	return polled, err
}

func sharedKey(scheduleID string) string { return scheduleID + " shared" }

// release terminates an open run of a schedule that waits on another task queue. Without release, the schedule
// would start no other run until this one reaches its timeout. A worker that is not starting leaves the run
// alone if workers poll its queue. Terminating loses no work, because the next run does what is left.
func (s *schedules) release(ctx context.Context, run client.ScheduleWorkflowExecution, when occasion) error {
	description, err := s.Client.DescribeWorkflowExecution(ctx, run.WorkflowID, run.FirstExecutionRunID)
	if err != nil {
		return ignoreNotFound(err)
	}
	queue := description.GetExecutionConfig().GetTaskQueue().GetName()
	if queue == s.TaskQueue || description.GetWorkflowExecutionInfo().GetCloseTime() != nil {
		return nil
	}
	if when == whileRunning {
		if polled, err := s.polled(ctx, queue); polled || err != nil {
			return err
		}
	}
	err = s.Client.TerminateWorkflow(ctx, run.WorkflowID, run.FirstExecutionRunID, "the schedule has moved from the task queue "+queue+" to "+s.TaskQueue)
	if err != nil {
		return ignoreNotFound(err)
	}
	s.Log.Info("a run of a schedule was terminated, because it waited on another task queue", "workflow_id", run.WorkflowID, "other_task_queue", queue)
	return nil
}

// ignoreNotFound returns nil if err says that a workflow does not exist or has ended. Otherwise it returns err.
func ignoreNotFound(err error) error {
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return nil
	}
	return err
}

// polled reports whether a worker has polled a task queue for workflows in the last five minutes.
func (s *schedules) polled(ctx context.Context, taskQueue string) (bool, error) {
	queue, err := s.Client.DescribeTaskQueue(ctx, taskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return false, fmt.Errorf("describe the task queue %s: %w", taskQueue, err)
	}
	return len(queue.GetPollers()) > 0, nil
}

// tellPaused logs that a schedule is paused.
func (s *schedules) tellPaused(id string, state *client.ScheduleState) {
	if state == nil || !state.Paused {
		delete(s.told, id)
		return
	}
	s.tell(id, "a schedule is paused: unpause it in Temporal, because nothing else repairs exports and deletes orphaned objects", "schedule", id, "note", state.Note)
}

// tell logs a warning, unless this worker has logged one with this key within scheduleToldEvery. Delete the key
// from told when the reason for the warning is gone.
func (s *schedules) tell(key, message string, args ...any) {
	if time.Since(s.told[key]) < scheduleToldEvery {
		return
	}
	if s.told == nil {
		s.told = map[string]time.Time{}
	}
	s.told[key] = time.Now()
	s.Log.Warn(message, args...)
}
