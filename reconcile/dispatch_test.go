package reconcile_test

import (
	"errors"
	"log/slog"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"memexport/dispatch"
	"memexport/internal/service/export"
	"memexport/reconcile"
	"memexport/workflows"
)

// limit sets how many exports each workspace may run at a time. When an activity ends an export, it then
// starts the next export of the workspace.
func (f *fixture) limit(running int) {
	f.exports = f.exports.WithLimits(export.Limits{Running: running})
	f.useStarter(f.starter)
	f.activities.Steps.Exports = f.exports
}

// useStarter makes the dispatcher start workflows with s.
func (f *fixture) useStarter(s *workflows.Starter) {
	f.activities.Dispatcher = &dispatch.Dispatcher{Exports: f.exports, Starter: s, Log: slog.New(slog.DiscardHandler)}
	f.activities.Steps.Ended = f.activities.Dispatcher.Next
}

func (f *fixture) wantNoWorkflow(id string) {
	f.Helper()
	_, err := f.client.DescribeWorkflowExecution(f.Context(), export.WorkflowID(id), "")
	var notFound *serviceerror.NotFound
	if !errors.As(err, &notFound) {
		f.Errorf("export %s has a workflow: %v", id, err)
	}
}

func (f *fixture) wantRunning(ids ...string) {
	f.Helper()
	for _, id := range ids {
		f.wantWorkflow(id, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	}
}

// end makes an export FAILED without starting the next one, like a worker that dies before it can do so.
func (f *fixture) end(id string) {
	f.Helper()
	if err := f.exports.Fail(f.Context(), id, export.Failures[export.CodeInternal]); err != nil {
		f.Fatal(err)
	}
}

func dispatchesWaiting(f *fixture) {
	f.limit(2)
	ids := []string{f.pending(), f.pending(), f.pending(), f.pending(), f.pending()}
	f.start(ids[0])
	f.start(ids[1])
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 2}) // waiting exports are not overdue, and no further export may run
	f.wantNoWorkflow(ids[2])
	f.end(ids[0])
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Dispatched: 1})
	f.wantRunning(ids[2])
	f.wantNoWorkflow(ids[3])
	f.end(ids[1])
	f.end(ids[2])
	f.wantReconciled(reconcile.Reconciled{Dispatched: 2})
	f.wantRunning(ids[3:]...)
}

func failsAndDispatches(f *fixture) {
	f.limit(1)
	terminated, next, last := f.written(), f.pending(), f.pending()
	f.start(terminated)
	f.terminate(terminated)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	f.wantStatus(terminated, export.Failed)
	f.wantRunning(next)
	f.wantNoWorkflow(last)
}

func startsClaimed(f *fixture) {
	f.limit(1)
	ended, claimed := f.pending(), f.pending()
	f.end(ended)
	if _, err := f.exports.Claim(f.Context(), workspaceID); err != nil {
		f.Fatal(err)
	}
	f.wantNoWorkflow(claimed)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Started: 1})
	f.wantRunning(claimed)
}

func failsDeletedWaiting(f *fixture) {
	f.limit(1)
	first, waiting, next := f.pending(), f.pending(), f.pending()
	f.start(first)
	f.delete(waiting)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 2, Settled: 1})
	if e := f.find(waiting); e.Status != export.Failed || e.Failure.Code != export.CodeCancelled || e.PurgedAt == nil {
		f.Errorf("the deleted export is %+v with %+v", e, e.Failure)
	}
	f.wantNoWorkflow(waiting)
	f.wantNoWorkflow(next) // next may not run yet, because the first export has not ended
}

func countsDispatchErrors(f *fixture) {
	f.limit(1)
	ended, waiting := f.pending(), f.pending()
	f.end(ended)
	f.useStarter(workflows.NewStarter(failing{f.client}, "default", f.Name()))
	f.wantReconciled(reconcile.Reconciled{Dispatched: 1, Errors: 1})
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Started: 1})
	f.wantRunning(waiting)
}
