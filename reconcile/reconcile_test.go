package reconcile_test

import (
	"context"
	"reflect"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"memexport/internal/service/export"
	"memexport/internal/workshop/temporaltest"
	"memexport/reconcile"
	"memexport/workflows"
)

// TestReconcile runs its subtests on one real Temporal server. No worker polls their task queues unless a
// subtest starts one.
func TestReconcile(t *testing.T) {
	c, err := client.Dial(client.Options{HostPort: temporaltest.Start(t), Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for name, test := range map[string]func(f *fixture){
		"StartsAPendingExportWithoutAWorkflow":             startsPending,
		"StartsAProcessingExportWhoseWorkflowIsForgotten":  startsForgotten,
		"FailsAndPurgesAnExportWhoseWorkflowWasTerminated": failsTerminated,
		"ExpiresAnOverdueExportAndPurgesItAfterTheGrace":   expiresOverdue,
		"CancelsTheRunningWorkflowOfADeletedExport":        cancelsDeleted,
		"PurgesADeletedReadyExportWithoutAWorkflow":        purgesDeleted,
		"LeavesAHealthyExportAlone":                        leavesHealthy,
		"HandlesTheOtherExportsWhenOneFails":               countsErrors,
		"GivesFreePlacesToExportsThatNobodyHasStarted":     dispatchesWaiting,
		"GivesThePlaceOfAFailedExportToTheNext":            failsAndDispatches,
		"StartsAClaimedExportThatACrashLeftBehind":         startsClaimed,
		"FailsADeletedExportThatWaited":                    failsDeletedWaiting,
		"CountsAWorkspaceWhoseExportsCannotBeStarted":      countsDispatchErrors,
		"RunsAsAWorkflow":                                  runsAsWorkflow,
		"SettlesLateExportsThatNoWorkerTakes":              settlesLate,
		"FreesThePlaceOfADeletedExportThatNoWorkerTakes":   freesPlace,
		"LeavesAPurgeThatTheWorkflowIsRetrying":            leavesRetriedPurge,
		"ReportsWhyAnExportIsStuck":                        reportsStuck,
		"NamesSomeOfManyStuckExportsAndCountsAll":          countsStuck,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.connect(c)
			test(f)
		})
	}
}

// described is a Temporal client in which every workflow has this status. It calls meanwhile before it answers.
type described struct {
	client.Client
	status    enumspb.WorkflowExecutionStatus
	meanwhile func()
}

func (d described) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	d.meanwhile()
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: d.status}}, nil
}

// Reconcile reads many exports at once, and asks Temporal about one after the other. Meanwhile an export may become
// READY, and its workflow may be terminated.
func TestAnExportThatHasBecomeReadyIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		status    enumspb.WorkflowExecutionStatus
		meanwhile func(f *fixture, id string)
		want      export.Status
		settled   int
	}{
		"terminated":              {enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, (*fixture).publish, export.Ready, 0},
		"completed":               {enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, (*fixture).publish, export.Ready, 0},
		"terminated in the grace": {enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, (*fixture).publishAndExpire, export.Expired, 0},
		"terminated, unfinished":  {enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, func(*fixture, string) {}, export.Failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.written()
			f.anHourLater()
			f.connect(described{status: c.status, meanwhile: func() { c.meanwhile(f, id) }})
			f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: c.settled})
			f.wantStatus(id, c.want)
			if e, kept := f.find(id), c.settled == 0; (e.PurgedAt == nil) != kept || (f.objects(id) > 0) != kept {
				t.Errorf("the export was purged at %v and has %d objects", e.PurgedAt, f.objects(id))
			}
		})
	}
}

// anHourLater moves all times in the database an hour into the past, as if an hour had passed.
func (f *fixture) anHourLater() {
	f.Helper()
	f.exec(`UPDATE memexport.exports SET updated_at = updated_at - interval '1 hour', created_at = created_at - interval '1 hour',
		deleted_at = deleted_at - interval '1 hour'`)
}

// wantReconciled checks the counts of a run, except those of stuck exports.
func (f *fixture) wantReconciled(want reconcile.Reconciled) {
	f.Helper()
	got := f.reconcile()
	got.Stuck, got.StuckBy = nil, nil
	if !reflect.DeepEqual(got, want) {
		f.Errorf("the run did %+v, want %+v", got, want)
	}
}

func (f *fixture) start(id string) {
	f.Helper()
	if err := f.starter.Start(f.Context(), f.find(id)); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) terminate(id string) {
	f.Helper()
	if err := f.client.TerminateWorkflow(f.Context(), export.WorkflowID(id), "", "by a test"); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) execution(id string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: export.WorkflowID(id)}
}

func (f *fixture) delete(id string) {
	f.Helper()
	if err := f.exports.Delete(f.Context(), workspaceID, id); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) wantWorkflow(id string, want enumspb.WorkflowExecutionStatus) {
	f.Helper()
	description, err := f.client.DescribeWorkflowExecution(f.Context(), export.WorkflowID(id), "")
	if err != nil {
		f.Fatal(err)
	}
	if got := description.GetWorkflowExecutionInfo().GetStatus(); got != want {
		f.Errorf("the workflow is %v, want %v", got, want)
	}
}

func startsPending(f *fixture) {
	id := f.pending()
	f.wantReconciled(reconcile.Reconciled{}) // the export is too young to be overdue
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Started: 1})
	f.wantWorkflow(id, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	f.wantReconciled(reconcile.Reconciled{Looked: 1})
}

func startsForgotten(f *fixture) {
	id := f.processing()
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Started: 1})
	f.wantWorkflow(id, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
}

func failsTerminated(f *fixture) {
	id := f.written()
	f.start(id)
	f.terminate(id)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	e := f.find(id)
	if e.Status != export.Failed || e.Failure.Code != export.CodeTerminated || e.PurgedAt == nil {
		f.Errorf("the export is %+v with %+v", e, e.Failure)
	}
	if n := f.objects(id); n != 0 || len(f.parts(id)) != 0 {
		f.Errorf("%d objects and %d parts are left", n, len(f.parts(id)))
	}
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{})
}

func expiresOverdue(f *fixture) {
	id := f.published()
	f.start(id)
	f.terminate(id)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{}) // the export is READY and has not expired
	f.exec(`UPDATE memexport.exports SET expires_at = now() - interval '1 minute'`)
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	f.wantStatus(id, export.Expired)
	if e := f.find(id); e.StoredStatus != export.Expired {
		f.Errorf("the row is %s", e.StoredStatus)
	}
	if f.objects(id) == 0 {
		f.Error("the objects were deleted before the grace period was over")
	}
	f.wantReconciled(reconcile.Reconciled{}) // the export's grace period is not over
	f.exec(`UPDATE memexport.exports SET expires_at = expires_at - interval '2 hours', updated_at = updated_at - interval '2 hours'`)
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	if e := f.find(id); f.objects(id) != 0 || e.PurgedAt == nil {
		f.Errorf("%d objects are left, purged at %v", f.objects(id), e.PurgedAt)
	}
}

func cancelsDeleted(f *fixture) {
	id := f.processing()
	f.start(id)
	f.delete(id)
	f.exec(`UPDATE memexport.exports SET deleted_at = deleted_at - interval '1 minute'`)
	f.wantReconciled(reconcile.Reconciled{Looked: 1})
	f.work()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	_ = f.client.GetWorkflow(ctx, export.WorkflowID(id), "").Get(ctx, nil) // ignore the error, because the status is checked next
	f.wantWorkflow(id, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED)
	if e := f.find(id); e.Status != export.Failed || e.Failure.Code != export.CodeCancelled || e.PurgedAt == nil {
		f.Errorf("the export is %+v with %+v", e, e.Failure)
	}
}

// work runs a worker until the test ends.
func (f *fixture) work() {
	f.Helper()
	w := worker.New(f.client, f.Name(), worker.Options{})
	w.RegisterWorkflow(workflows.Export)
	w.RegisterActivity(f.activities.Steps)
	w.RegisterWorkflow(reconcile.Reconcile)
	w.RegisterWorkflow(reconcile.Sweep)
	w.RegisterActivity(f.activities)
	if err := w.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(w.Stop)
}

func purgesDeleted(f *fixture) {
	id := f.published()
	f.delete(id)
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	if e := f.find(id); e.Status != export.Expired || e.PurgedAt == nil || f.objects(id) != 0 {
		f.Errorf("the export is %+v, and %d objects are left", e, f.objects(id))
	}
}

func leavesHealthy(f *fixture) {
	id := f.processing()
	f.start(id)
	f.published()
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 1})
	f.wantStatus(id, export.Processing)
}

func countsErrors(f *fixture) {
	broken, other := f.pending(), f.pending()
	f.start(other)
	f.terminate(other)
	f.activities.Starter = workflows.NewStarter(failing{f.client}, "default", f.Name())
	f.anHourLater()
	f.wantReconciled(reconcile.Reconciled{Looked: 2, Started: 1, Settled: 1, Errors: 1})
	f.wantStatus(broken, export.Pending)
	f.wantStatus(other, export.Failed)
}

func runsAsWorkflow(f *fixture) {
	f.pending()
	f.anHourLater()
	f.orphan("0190a000-0000-4000-8000-00000000000e", old)
	f.work()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	execute := func(name string, result any) {
		f.Helper()
		execution, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: f.Name()}, name)
		if err == nil {
			err = execution.Get(ctx, result)
		}
		if err != nil {
			f.Errorf("%s: %v", name, err)
		}
	}
	var done reconcile.Reconciled
	if execute("Reconcile", &done); !reflect.DeepEqual(done, reconcile.Reconciled{Looked: 1, Started: 1}) {
		f.Errorf("Reconcile did %+v", done)
	}
	var swept int
	if execute("Sweep", &swept); swept != 1 {
		f.Errorf("Sweep deleted the objects of %d exports", swept)
	}
}
