package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/export"
)

// adopt shows the state of an export that has ended as the state of this run.
func (r *run) adopt(ctx workflow.Context, s activities.Settled) {
	r.details.failure = s.Code
	r.details.expiresAt = s.ExpiresAt
	r.details.purged, r.details.deleted = s.Purged, s.Deleted
	if s.Memories > 0 {
		r.details.written.Memories = s.Memories
	}
	if s.Bytes > 0 {
		r.details.written.Bytes = s.Bytes
	}
	r.show(ctx, s.Status)
}

// conclude ends a run whose export is FAILED or EXPIRED. It shows that, deletes the objects when their time
// has come, and returns err, or the cancellation of the workflow if err is nil.
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
