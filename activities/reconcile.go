package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"memexport/internal/service/export"
)

const (
	// slack is how long a healthy workflow may take for its next step before it is looked at.
	slack = 10 * time.Second
	// reconcileBatch bounds one run; what is left over is for the next one.
	reconcileBatch = 1000
)

// orphanAge is how old the newest object of an unknown or purged export must be to be swept: older
// than any attempt that could still record it.
var orphanAge = 24 * time.Hour

// workflowState is what has become of an export's workflow.
type workflowState string

const (
	running    workflowState = "running"
	missing    workflowState = "missing"    // never started, or forgotten after the namespace's retention
	ended      workflowState = "ended"      // completed, failed or cancelled: it ran its own cleanup
	terminated workflowState = "terminated" // or timed out: no code of it ran
)

// Reconciled counts what a run has done.
type Reconciled struct {
	Looked  int `json:"looked"`
	Started int `json:"started"`
	Settled int `json:"settled"`
	Errors  int `json:"errors"` // exports that could not be settled now; the next run tries again
}

// Reconcile brings rows and workflows together again: it starts what the API could not start, and
// settles what a workflow that was terminated or lost has left behind.
func (a *Activities) Reconcile(ctx context.Context) (Reconciled, error) {
	defer alive(ctx)()
	var done Reconciled
	open, err := a.Exports.Open(ctx, slack, a.Grace, reconcileBatch)
	if err != nil {
		return done, storeError(ctx, err)
	}
	for _, e := range open {
		done.Looked++
		if err := a.reconcile(ctx, e, &done); err != nil {
			if ctx.Err() != nil {
				return done, ctx.Err()
			}
			done.Errors++
			activity.GetLogger(ctx).Warn("an export could not be reconciled", "export", e.ID, "error", safe(err))
		}
	}
	return done, nil
}

func (a *Activities) reconcile(ctx context.Context, e export.Export, done *Reconciled) error {
	state, err := a.workflowState(ctx, e.ID)
	if err != nil {
		return err
	}
	ref := ExportRef{e.ID}
	switch what, code := decide(e, state); what {
	case doNothing:
		return nil
	case doCancel:
		return a.Starter.Cancel(ctx, e.ID)
	case doStart:
		done.Started++
		return a.Starter.Start(ctx, e)
	case doFail:
		done.Settled++
		if err := a.Fail(ctx, FailInput{e.ID, code}); err != nil {
			return err
		}
		return a.Purge(ctx, ref)
	case doExpire:
		done.Settled++
		_, err := a.Expire(ctx, ref)
		return err // purged by a later run, when the grace is over
	case doPurge:
		done.Settled++
		if _, err := a.Expire(ctx, ref); err != nil { // a deleted export may still be READY
			return err
		}
		return a.Purge(ctx, ref)
	}
	return nil
}

// action is what the reconciler does about an export.
type action int

const (
	doNothing action = iota
	doCancel
	doStart
	doFail
	doExpire
	doPurge
)

// decide is the reconciler's table. A running workflow is left to do its own work, unless the
// export was deleted and the cancellation got lost.
func decide(e export.Export, state workflowState) (what action, failureCode string) {
	unfinished := e.Status == export.Pending || e.Status == export.Processing
	switch {
	case state == running && e.DeletedAt != nil:
		return doCancel, ""
	case state == running:
		return doNothing, ""
	case unfinished && e.DeletedAt != nil:
		return doFail, export.CodeCancelled
	case unfinished && state == missing:
		return doStart, ""
	case unfinished && state == terminated:
		return doFail, export.CodeTerminated
	case unfinished: // its workflow has ended without settling the row
		return doFail, export.CodeInternal
	case e.DeletedAt != nil:
		return doPurge, ""
	case e.Status == export.Expired && e.UpdatedAt.Before(*e.ExpiresAt): // READY in the row, past its time
		return doExpire, ""
	case e.Status == export.Ready:
		return doNothing, ""
	}
	return doPurge, ""
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

// Sweep deletes objects that nothing will ever ask for: those of exports that no row knows, and
// those that a late attempt wrote after its export was purged. It returns the number of exports
// whose objects it deleted.
func (a *Activities) Sweep(ctx context.Context) (int, error) {
	defer alive(ctx)()
	swept := 0
	err := a.Archive.Exports(ctx, func(id string) error {
		e, err := a.Exports.Find(ctx, id)
		switch {
		case errors.Is(err, export.ErrNotFound):
		case err != nil:
			return err
		case e.PurgedAt == nil:
			return nil
		}
		last, err := a.Archive.LastWritten(ctx, id)
		if err != nil || time.Since(last) < orphanAge {
			return err
		}
		swept++
		return a.Archive.DeleteExport(ctx, id)
	})
	if err != nil {
		if ctx.Err() != nil {
			return swept, ctx.Err()
		}
		return swept, retryable(TypeStorageUnavailable, err)
	}
	return swept, nil
}
