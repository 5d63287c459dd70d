package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// pausedToldEvery is how often a worker logs that the same schedule is still paused.
	pausedToldEvery = time.Hour
)

// schedules creates the two schedules of the service, and creates them again if somebody deletes them.
type schedules struct {
	*Options
	told map[string]time.Time // when this worker last logged that a schedule is paused
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
		if err := s.ensure(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the schedules could not be checked; the worker tries again", "error", err)
		}
	}
}

// ensure creates both schedules, or changes existing ones to match the options.
func (s *schedules) ensure(ctx context.Context) error {
	return errors.Join(
		s.ensureOne(ctx, "memexport-reconcile", reconcile.Reconcile, s.ReconcileEvery),
		s.ensureOne(ctx, "memexport-sweep", reconcile.Sweep, s.SweepEvery),
	)
}

// ensureOne creates or updates a schedule that starts a workflow at an interval, unless the previous run is
// still running. Several workers may call ensureOne at the same time, because all of them set the same
// schedule. A paused schedule stays paused.
func (s *schedules) ensureOne(ctx context.Context, id string, workflow any, every time.Duration) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{ID: id, Workflow: workflow, TaskQueue: s.TaskQueue}
	handle := s.Client.ScheduleClient().GetHandle(ctx, id)
	description, err := handle.Describe(ctx)
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		_, err := s.Client.ScheduleClient().Create(ctx, client.ScheduleOptions{
			ID: id, Spec: spec, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
			CatchupWindow: time.Minute, // after an outage, one run does the work of all missed runs
		})
		if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return fmt.Errorf("create the schedule %s: %w", id, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("describe the schedule %s: %w", id, err)
	}
	s.tellPaused(id, description.Schedule.State)
	if upToDate(description.Schedule, s.TaskQueue, every) {
		return nil
	}
	err = handle.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			schedule.Spec, schedule.Action = &spec, action
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("update the schedule %s: %w", id, err)
	}
	return nil
}

func upToDate(schedule client.Schedule, taskQueue string, every time.Duration) bool {
	current, ok := schedule.Action.(*client.ScheduleWorkflowAction)
	return ok && current.TaskQueue == taskQueue && len(schedule.Spec.Intervals) == 1 && schedule.Spec.Intervals[0].Every == every
}

// tellPaused logs that a schedule is paused: when this worker first sees that, and again every
// pausedToldEvery.
func (s *schedules) tellPaused(id string, state *client.ScheduleState) {
	if state == nil || !state.Paused {
		delete(s.told, id)
		return
	}
	if time.Since(s.told[id]) < pausedToldEvery {
		return
	}
	if s.told == nil {
		s.told = map[string]time.Time{}
	}
	s.told[id] = time.Now()
	s.Log.Warn("a schedule is paused: unpause it in Temporal, because nothing else repairs exports and deletes orphaned objects", "schedule", id, "note", state.Note)
}
