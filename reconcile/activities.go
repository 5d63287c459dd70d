package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/internal/service/attempt"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/workflows"
)

const (
	// slack is how late a healthy workflow may be with its next step. After this time, the export is
	// overdue.
	slack = 10 * time.Second
	// batch is the greatest number of exports that one run handles. The next run handles the others.
	batch = 1000
)

// Activities holds what the activities Reconcile and Sweep need. Every field is required unless its
// comment names a default.
type Activities struct {
	Steps   *activities.Activities // the store, the bucket, and the activities that end an export
	Client  client.Client          // used to look up the state of a workflow
	Starter *workflows.Starter
	// Dispatcher starts the exports that wait in a queue although they may run, for example after a crash.
	Dispatcher *dispatch.Dispatcher

	// History is how long the row of an export is kept after the export's objects were deleted. Zero keeps
	// the rows forever.
	History time.Duration

	// Audit stores the audit events. AuditRetention is how long the events are kept. Zero keeps them
	// forever.
	Audit          *audit.Store
	AuditRetention time.Duration

	// OrphanAge protects objects that may still be in use. Sweep deletes the objects of an unknown or
	// purged export only if the newest of these objects is older than OrphanAge. OrphanAge must be longer
	// than the longest attempt that could still record such an object. Defaults to 24 hours.
	OrphanAge time.Duration
}

// Reconciled counts what a run has done.
type Reconciled struct {
	Looked     int `json:"looked"`     // exports that were overdue
	Started    int `json:"started"`    // exports whose workflow was started
	Settled    int `json:"settled"`    // exports that were made FAILED or EXPIRED, or whose objects were deleted
	Dispatched int `json:"dispatched"` // waiting exports that may now run
	Errors     int `json:"errors"`     // exports and workspaces for which something failed; the next run tries again
}

// Reconcile starts the workflows that the API could not start. It ends and cleans up exports whose
// workflow was terminated or is lost. It also starts waiting exports that may run. If one export fails,
// Reconcile goes on with the others.
func (a *Activities) Reconcile(ctx context.Context) (Reconciled, error) {
	defer attempt.Heartbeat(ctx)()
	var done Reconciled
	overdue, err := a.Steps.Exports.Unsettled(ctx, slack, a.Steps.Grace, batch)
	if err != nil {
		return done, attempt.DatabaseError(ctx, err)
	}
	for _, e := range overdue {
		done.Looked++
		if err := a.settle(ctx, e, &done); err != nil {
			if ctx.Err() != nil {
				return done, ctx.Err()
			}
			done.Errors++
			activity.GetLogger(ctx).Warn("an export could not be reconciled; the next run tries again",
				"export", e.ID, "error", attempt.SafeMessage(err))
		}
	}
	dispatched, err := a.Dispatcher.All(ctx)
	done.Dispatched += dispatched.Dispatched
	done.Errors += dispatched.Errors
	return done, attempt.DatabaseError(ctx, err)
}

// settle carries out the action that decide returns for one export, and counts the action in done.
func (a *Activities) settle(ctx context.Context, e export.Export, done *Reconciled) error {
	state, err := a.workflowState(ctx, e.ID)
	if err != nil {
		return err
	}
	ref := activities.ExportRef{ExportID: e.ID}
	switch what, code := decide(e, state); what {
	case cancel:
		return a.Starter.Cancel(ctx, e.ID)
	case start:
		done.Started++
		return a.Starter.Start(ctx, e)
	case fail:
		done.Settled++
		if err := a.Steps.Fail(ctx, activities.FailInput{ExportID: e.ID, Code: code}); err != nil {
			return err
		}
		return a.Steps.Purge(ctx, ref)
	case expire:
		done.Settled++
		_, err := a.Steps.Expire(ctx, ref)
		return err
	case purge:
		done.Settled++
		if _, err := a.Steps.Expire(ctx, ref); err != nil {
			return err
		}
		return a.Steps.Purge(ctx, ref)
	}
	return nil // the action is leave
}

func (a *Activities) workflowState(ctx context.Context, exportID string) (workflowState, error) {
	description, err := a.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return missing, nil
	}
	if err != nil {
		return "", fmt.Errorf("describe the workflow: %w", err)
	}
	switch description.WorkflowExecutionInfo.Status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:
		return running, nil
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return terminated, nil
	}
	return ended, nil
}
