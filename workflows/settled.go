package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/export"
)

// adopt makes this run show the state of an export that has already ended.
func (r *run) adopt(ctx workflow.Context, s activities.Settled) {
	r.details.failure = s.Code
	r.details.expiresAt, r.details.purgeAt = s.ExpiresAt, s.PurgeAt
	r.details.purged, r.details.deleted = s.Purged, s.Deleted
	if s.Memories > 0 {
		r.details.written.Memories = s.Memories
	}
	if s.Bytes > 0 {
		r.details.written.Bytes = s.Bytes
	}
	r.show(ctx, s.Status)
}

// wasReset reports whether this run was made by a reset.
func wasReset(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.OriginalRunID != "" && info.OriginalRunID != info.WorkflowExecution.RunID // the test environment sets no OriginalRunID
}

// look reads the present state of the export after a reset. The result of Publish may then come from the
// history, and the export may have expired since. look runs Plan, because Plan returns the state of an export
// that has ended, and changes nothing.
func (r *run) look(ctx workflow.Context, published *activities.PublishResult) error {
	var found activities.PlanResult
	if err := workflow.ExecuteActivity(r.working(ctx, "look whether the export has ended"), a.Plan, r.export).Get(ctx, &found); err != nil {
		return err
	}
	if found.Settled.Is() {
		published.Settled, published.ExpiresAt = found.Settled, found.Settled.ExpiresAt
	}
	return nil
}

// conclude ends a run whose export is FAILED or EXPIRED. It shows that status, deletes the objects, and returns
// err. If the export is EXPIRED, conclude first waits until the grace period ends. If err is nil, it returns
// ctx.Err(), so that Temporal shows a cancelled workflow as cancelled.
func (r *run) conclude(ctx workflow.Context, s activities.Settled, err error) error {
	r.adopt(ctx, s)
	if !s.Purged {
		if s.Status == export.Expired {
			r.sleepUntil(ctx, s.PurgeAt, "objects deleted")
		}
		if purgeErr := r.purge(ctx); purgeErr != nil {
			return errors.Join(err, purgeErr)
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// failedBefore returns the error of a run that finds its export FAILED, so that Temporal shows the same
// outcome as the row. It returns nil for an EXPIRED export.
func failedBefore(s activities.Settled) error {
	if s.Status != export.Failed {
		return nil
	}
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("the export had FAILED with %s before this run, which has changed nothing", s.Code), s.Code, nil)
}
