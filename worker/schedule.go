package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// ensureSchedule creates or updates a schedule that runs a workflow at an interval. Two runs never
// overlap. Several workers may call ensureSchedule at the same time, because all of them set the same
// schedule.
func (o *Options) ensureSchedule(ctx context.Context, id string, workflow any, every time.Duration) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{ID: id, Workflow: workflow, TaskQueue: o.TaskQueue}
	_, err := o.Client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: id, Spec: spec, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, // after an outage, one run does the work of all missed runs
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		if err != nil {
			return fmt.Errorf("create the schedule %s: %w", id, err)
		}
		return nil
	}
	err = o.Client.ScheduleClient().GetHandle(ctx, id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			current, ok := schedule.Action.(*client.ScheduleWorkflowAction)
			upToDate := ok && current.TaskQueue == o.TaskQueue &&
				len(schedule.Spec.Intervals) == 1 && schedule.Spec.Intervals[0].Every == every
			if upToDate {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			schedule.Spec, schedule.Action = &spec, action
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil && !errors.Is(err, temporal.ErrSkipScheduleUpdate) {
		return fmt.Errorf("update the schedule %s: %w", id, err)
	}
	return nil
}
