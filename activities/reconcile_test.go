package activities_test

import (
	"context"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/workshop/devstack"
	"memexport/workflows"
)

// TestReconcile runs against one real server, whose task queues nobody polls unless a test does.
func TestReconcile(t *testing.T) {
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Dir: t.TempDir(), InMemory: true, Headless: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(client.Options{HostPort: server.Address, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for name, test := range map[string]func(h *house){
		"APendingExportWithoutAWorkflowIsStarted":                   startsPending,
		"AProcessingExportWhoseWorkflowIsForgottenIsStartedAgain":   startsForgotten,
		"AnExportWhoseWorkflowWasTerminatedFailsAndIsPurged":        failsTerminated,
		"AReadyExportPastItsTimeExpiresAndIsPurgedAfterTheGrace":    expiresOverdue,
		"ADeletedExportWithARunningWorkflowIsCancelled":             cancelsDeleted,
		"ADeletedReadyExportWhoseWorkflowIsGoneIsPurged":            purgesDeleted,
		"AHealthyExportIsLeftAlone":                                 leavesHealthy,
		"AnExportThatCannotBeReconciledDoesNotKeepTheOthersWaiting": countsErrors,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.fill(20)
			h.Client = c
			h.Starter = workflows.NewStarter(c, "default", t.Name())
			test(h)
		})
	}
}

// reconcile runs once, as if all that happened had been an hour ago.
func (h *house) reconcile() activities.Reconciled {
	h.Helper()
	h.exec(`UPDATE memexport.exports SET updated_at = updated_at - interval '1 hour', created_at = created_at - interval '1 hour',
		deleted_at = deleted_at - interval '1 hour'`)
	return must[activities.Reconciled](h, h.Reconcile, nil)
}

func (h *house) wantReconciled(want activities.Reconciled) {
	h.Helper()
	if got := h.reconcile(); got != want {
		h.Errorf("reconciled were %+v, not %+v", got, want)
	}
}

func (h *house) start(id string) {
	h.Helper()
	if err := h.Starter.Start(h.Context(), h.find(id)); err != nil {
		h.Fatal(err)
	}
}

func (h *house) terminate(id string) {
	h.Helper()
	if err := h.Client.TerminateWorkflow(h.Context(), export.WorkflowID(id), "", "by a test"); err != nil {
		h.Fatal(err)
	}
}

func (h *house) delete(id string) {
	h.Helper()
	if err := h.Exports.Delete(h.Context(), workspaceID, id); err != nil {
		h.Fatal(err)
	}
}

func (h *house) workflowStatus(id string) enumspb.WorkflowExecutionStatus {
	h.Helper()
	description, err := h.Client.DescribeWorkflowExecution(h.Context(), export.WorkflowID(id), "")
	if err != nil {
		h.Fatal(err)
	}
	return description.GetWorkflowExecutionInfo().GetStatus()
}

func startsPending(h *house) {
	id := h.create(format.JSON)
	if got := must[activities.Reconciled](h, h.Reconcile, nil); got != (activities.Reconciled{}) {
		h.Errorf("a young export was looked at: %+v", got)
	}
	h.wantReconciled(activities.Reconciled{Looked: 1, Started: 1})
	if status := h.workflowStatus(id); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		h.Error("its workflow is", status)
	}
	h.wantReconciled(activities.Reconciled{Looked: 1})
}

func startsForgotten(h *house) {
	id, _ := h.started(format.JSON)
	h.wantReconciled(activities.Reconciled{Looked: 1, Started: 1})
	if status := h.workflowStatus(id); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		h.Error("its workflow is", status)
	}
}

func failsTerminated(h *house) {
	id, plan := h.started(format.JSON)
	h.written(id, plan)
	h.start(id)
	h.terminate(id)
	h.wantReconciled(activities.Reconciled{Looked: 1, Settled: 1})
	e := h.find(id)
	if e.Status != export.Failed || e.Failure.Code != export.CodeTerminated || e.PurgedAt == nil {
		h.Errorf("the export is %+v with %+v", e, e.Failure)
	}
	if n := h.objects(id); n != 0 || len(h.parts(id)) != 0 {
		h.Errorf("%d objects and %d parts are left", n, len(h.parts(id)))
	}
	h.wantReconciled(activities.Reconciled{})
}

func expiresOverdue(h *house) {
	id := h.published(format.JSON)
	h.start(id)
	h.terminate(id)
	h.wantReconciled(activities.Reconciled{}) // it is READY and has its time
	h.exec(`UPDATE memexport.exports SET expires_at = now() - interval '1 minute'`)
	h.wantReconciled(activities.Reconciled{Looked: 1, Settled: 1})
	h.wantStatus(id, export.Expired)
	if h.objects(id) == 0 {
		h.Error("the objects went before the grace")
	}
	if got := must[activities.Reconciled](h, h.Reconcile, nil); got != (activities.Reconciled{}) {
		h.Errorf("during the grace it was looked at: %+v", got)
	}
	h.exec(`UPDATE memexport.exports SET expires_at = expires_at - interval '2 hours', updated_at = updated_at - interval '1 hour'`)
	h.wantReconciled(activities.Reconciled{Looked: 1, Settled: 1})
	if e := h.find(id); h.objects(id) != 0 || e.PurgedAt == nil {
		h.Errorf("%d objects are left, purged at %v", h.objects(id), e.PurgedAt)
	}
}

func cancelsDeleted(h *house) {
	id, _ := h.started(format.JSON)
	h.start(id)
	h.delete(id)
	h.wantReconciled(activities.Reconciled{Looked: 1})
	h.work()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	_ = h.Client.GetWorkflow(ctx, export.WorkflowID(id), "").Get(ctx, nil) // how it ended is asked below
	if status := h.workflowStatus(id); status != enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED {
		h.Error("its workflow is", status)
	}
	if e := h.find(id); e.Status != export.Failed || e.Failure.Code != export.CodeCancelled || e.PurgedAt == nil {
		h.Errorf("the export is %+v with %+v", e, e.Failure)
	}
}

// work lets a worker run workflows and activities until the test ends.
func (h *house) work() {
	h.Helper()
	w := sdk.New(h.Client, h.Name(), sdk.Options{})
	w.RegisterWorkflow(workflows.Export)
	w.RegisterActivity(h.Activities)
	if err := w.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(w.Stop)
}

func purgesDeleted(h *house) {
	id := h.published(format.JSON)
	h.delete(id)
	h.wantReconciled(activities.Reconciled{Looked: 1, Settled: 1})
	if e := h.find(id); e.Status != export.Expired || e.PurgedAt == nil || h.objects(id) != 0 {
		h.Errorf("the export is %+v, and %d objects are left", e, h.objects(id))
	}
}

func leavesHealthy(h *house) {
	id, _ := h.started(format.JSON)
	h.start(id)
	h.published(format.JSON)
	h.wantReconciled(activities.Reconciled{Looked: 1})
	h.wantStatus(id, export.Processing)
}

func countsErrors(h *house) {
	broken, other := h.create(format.JSON), h.create(format.CSV)
	h.start(other)
	h.terminate(other)
	h.Starter = refusing{h.Starter}
	h.wantReconciled(activities.Reconciled{Looked: 2, Started: 1, Settled: 1, Errors: 1})
	h.wantStatus(broken, export.Pending)
	h.wantStatus(other, export.Failed)
}

// refusing is a Starter that cannot start.
type refusing struct{ activities.Starter }

func (refusing) Start(context.Context, export.Export) error { return context.DeadlineExceeded }
