package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/process"
	"memexport/reconcile"
	"memexport/workflows"
)

// settlesLate checks that Reconcile settles late exports although their workflows are running, while no
// worker polls. After that it starts a worker, and checks that the workflows change nothing.
func settlesLate(f *fixture) {
	expired, failed, deleted := f.published(), f.written(), f.published()
	for _, id := range []string{expired, failed, deleted} {
		f.start(id)
	}
	f.end(failed)
	f.delete(deleted)
	f.exec(`UPDATE memexport.exports SET expires_at = now() - interval '1 minute' WHERE id = $1`, expired)
	f.anHourLater()
	f.exec(`UPDATE memexport.exports SET updated_at = now() - interval '64 minutes' WHERE id = $1`, failed)
	f.wantReconciled(reconcile.Reconciled{Looked: 3, Settled: 1}) // only the deleted export is late
	f.exec(`UPDATE memexport.exports SET expires_at = now() - interval '6 minutes' WHERE id = $1`, expired)
	f.exec(`UPDATE memexport.exports SET updated_at = now() - interval '66 minutes' WHERE id = $1`, failed)
	f.wantReconciled(reconcile.Reconciled{Looked: 2, Settled: 2})
	f.wantStatus(expired, export.Expired)
	if f.objects(expired) == 0 {
		f.Error("the objects of the expired export were deleted before its grace period was over")
	}
	f.exec(`UPDATE memexport.exports SET expires_at = now() - interval '66 minutes', updated_at = now() - interval '66 minutes' WHERE id = $1`, expired)
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	settled := map[string]export.Export{}
	for _, id := range []string{expired, failed, deleted} {
		settled[id] = f.find(id)
		if f.objects(id) != 0 || settled[id].PurgedAt == nil {
			f.Errorf("export %s has %d objects, and was purged at %v", id, f.objects(id), settled[id].PurgedAt)
		}
	}
	f.wantReconciled(reconcile.Reconciled{})
	f.work()
	for id, want := range settled {
		ctx, cancel := context.WithTimeout(f.Context(), patience)
		_ = f.client.GetWorkflow(ctx, export.WorkflowID(id), "").Get(ctx, nil) // ignore the error, because the workflow only has to end
		if ctx.Err() != nil {
			f.Errorf("the workflow of the %s export did not end", want.Status)
		}
		cancel()
		got := f.find(id)
		if got.Status != want.Status || !got.UpdatedAt.Equal(want.UpdatedAt) || f.objects(id) != 0 {
			f.Errorf("the workflow has changed the export from %+v to %+v, and it has %d objects", want, got, f.objects(id))
		}
	}
}

func freesPlace(f *fixture) {
	f.limit(1)
	first, next := f.pending(), f.pending()
	f.start(first)
	f.delete(first)
	f.exec(`UPDATE memexport.exports SET deleted_at = now() - interval '1 minute' WHERE id = $1`, first)
	f.wantReconciled(reconcile.Reconciled{Looked: 1})
	f.wantNoWorkflow(next)
	f.exec(`UPDATE memexport.exports SET deleted_at = now() - interval '6 minutes' WHERE id = $1`, first)
	f.wantReconciled(reconcile.Reconciled{Looked: 1, Settled: 1})
	if e := f.find(first); e.Status != export.Failed || e.Failure.Code != export.CodeCancelled || e.PurgedAt == nil {
		f.Errorf("the deleted export is %+v with %+v", e, e.Failure)
	}
	f.wantRunning(next)
}

// leavesRetriedPurge checks that Reconcile does not purge an export while its workflow is retrying the
// activity Purge. In this test, that activity always fails.
func leavesRetriedPurge(f *fixture) {
	id := f.published()
	f.start(id)
	f.exec(`UPDATE memexport.exports SET status = 'EXPIRED', expires_at = now() - interval '2 hours', updated_at = now() - interval '2 hours'`)
	f.workOn(f.Name(), workflows.Export, &refusing{f.activities.Steps}, worker.Options{})
	f.untilFailing(id)
	f.exec(`UPDATE memexport.exports SET updated_at = now() - interval '2 hours'`)
	done := f.reconcile()
	if len(done.Stuck) != 1 {
		f.Fatalf("the run did %+v", done)
	}
	if s := done.Stuck[0]; s.Reason != reconcile.ReasonActivityFails || !strings.Contains(s.Detail, "Purge") || done.Settled != 0 {
		f.Errorf("the run did %+v", done)
	}
	if f.objects(id) == 0 || f.find(id).PurgedAt != nil {
		f.Error("Reconcile purged the export")
	}
}

// refusing has the real activities, except that Purge fails.
type refusing struct{ *activities.Activities }

func (*refusing) Purge(context.Context, activities.ExportRef) error {
	return errors.New("the store refuses")
}

// stuckBy creates a PENDING export that has been unchanged for an hour, and starts its workflow on this
// queue.
func (f *fixture) stuckBy(queue string) (id string) {
	id = f.pending()
	if err := workflows.NewStarter(f.client, "default", queue).Start(f.Context(), f.find(id)); err != nil {
		f.Fatal(err)
	}
	f.exec(`UPDATE memexport.exports SET updated_at = now() - interval '1 hour', dispatched_at = now() - interval '1 hour' WHERE id = $1`, id)
	return id
}

// workOn runs a worker with these activities on a queue until the test ends.
func (f *fixture) workOn(queue string, workflow any, activities any, options worker.Options) {
	w := worker.New(f.client, queue, options)
	w.RegisterWorkflow(workflow)
	w.RegisterActivity(activities)
	if err := w.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(w.Stop)
}

// planning has an activity Plan that does what a test wants.
type planning struct {
	plan func(context.Context) error
}

func (p *planning) Plan(ctx context.Context, _ activities.ExportRef) (activities.PlanResult, error) {
	return activities.PlanResult{}, p.plan(ctx)
}

func reportsStuck(f *fixture) {
	f.activities.StuckAfter = 30 * time.Minute
	plans := map[string]func(context.Context) error{
		"healthy": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"failed once": func(ctx context.Context) error {
			if activity.GetInfo(ctx).Attempt == 1 {
				return errors.New("not now")
			}
			<-ctx.Done()
			return ctx.Err()
		},
		"fails":  func(context.Context) error { return errors.New("not now") },
		"paused": func(context.Context) error { return errors.New("not now") },
		"moved":  func(context.Context) error { return errors.New("not now") },
	}
	want := map[string]reconcile.Reason{}
	for name, reason := range map[string]reconcile.Reason{
		"healthy": "", "failed once": "", "fails": reconcile.ReasonActivityFails, "paused": reconcile.ReasonActivityPaused,
		"nobody": reconcile.ReasonNoPoller, "moved": reconcile.ReasonNoPoller, "workflow paused": reconcile.ReasonWorkflowPaused,
		"panics": reconcile.ReasonWorkflowTaskFails, "not current": reconcile.ReasonNotCurrent, "busy": reconcile.ReasonBusy,
	} {
		queue := f.Name() + " " + name
		id := f.stuckBy(queue)
		want[id] = reason
		if plan := plans[name]; plan != nil {
			f.workOn(queue, workflows.Export, &planning{plan}, worker.Options{})
		}
		switch name {
		case "paused":
			f.pauseActivity(id)
		case "moved":
			f.moveActivity(id, f.Name()+" nobody")
		case "workflow paused":
			_, err := f.client.WorkflowService().PauseWorkflowExecution(f.Context(), &workflowservice.PauseWorkflowExecutionRequest{
				Namespace: "default", WorkflowId: export.WorkflowID(id), RequestId: id, Reason: "a test"})
			if err != nil {
				f.Fatal(err)
			}
		case "panics":
			f.workOn(queue, Export, &planning{}, worker.Options{})
		case "not current":
			f.workOn(queue, workflows.Export, &planning{}, worker.Options{DeploymentOptions: worker.DeploymentOptions{
				UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: "a test", BuildID: "1"},
				DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
			}})
		case "busy": // this worker takes workflow tasks only
			f.workOn(queue, workflows.Export, &planning{}, worker.Options{LocalActivityWorkerOnly: true})
		}
	}
	f.pending() // this export is too young to be stuck
	got := map[string]reconcile.Reason{}
	var last reconcile.Reconciled
	await.True(f, patience, "all but the healthy exports are reported", func() bool {
		last = f.reconcile()
		got = map[string]reconcile.Reason{}
		for id := range want {
			got[id] = ""
		}
		for _, s := range last.Stuck {
			got[s.ExportID] = s.Reason
		}
		return maps.Equal(got, want)
	})
	for _, s := range last.Stuck {
		if s.Detail == "" || s.Status != export.Pending || s.WorkspaceID != workspaceID || time.Since(s.Since) < time.Hour {
			f.Errorf("the report is %+v", s)
		}
	}
	counts := map[reconcile.Reason]int{}
	for _, reason := range want {
		if reason != "" {
			counts[reason]++
		}
	}
	if !maps.Equal(last.StuckBy, counts) {
		f.Errorf("the counts are %v, want %v", last.StuckBy, counts)
	}
}

// Export is a workflow that panics.
func Export(workflow.Context, workflows.ExportInput) error { panic("a test") }

// untilFailing waits until the only pending activity of an export has failed and waits for its next attempt.
func (f *fixture) untilFailing(id string) {
	f.Helper()
	await.True(f, patience, "the activity has failed", func() bool {
		d, err := f.client.DescribeWorkflowExecution(f.Context(), export.WorkflowID(id), "")
		pending := d.GetPendingActivities()
		return err == nil && len(pending) == 1 && pending[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && pending[0].GetAttempt() > 1
	})
}

// pauseActivity pauses the activity Plan of an export after it has failed.
func (f *fixture) pauseActivity(id string) {
	f.Helper()
	f.untilFailing(id)
	_, err := f.client.WorkflowService().PauseActivity(f.Context(), &workflowservice.PauseActivityRequest{
		Namespace: "default", Execution: f.execution(id), Activity: &workflowservice.PauseActivityRequest_Type{Type: "Plan"}, Reason: "a test"})
	if err != nil {
		f.Fatal(err)
	}
}

// moveActivity moves the activity Plan of an export to another task queue after it has failed.
func (f *fixture) moveActivity(id, queue string) {
	f.Helper()
	f.untilFailing(id)
	_, err := f.client.WorkflowService().UpdateActivityOptions(f.Context(), &workflowservice.UpdateActivityOptionsRequest{
		Namespace: "default", Execution: f.execution(id), Activity: &workflowservice.UpdateActivityOptionsRequest_Type{Type: "Plan"},
		ActivityOptions: &activitypb.ActivityOptions{TaskQueue: &taskqueuepb.TaskQueue{Name: queue}},
		UpdateMask:      &fieldmaskpb.FieldMask{Paths: []string{"task_queue.name"}}})
	if err != nil {
		f.Fatal(err)
	}
}

func countsStuck(f *fixture) {
	for range 25 {
		f.stuckBy(f.Name())
	}
	var observed reconcile.Reconciled
	var lines process.Buffer
	f.activities.Log = slog.New(slog.NewTextHandler(&lines, nil))
	f.activities.Observe = func(done reconcile.Reconciled) { observed = done }
	done := f.reconcile()
	if len(done.Stuck) != 20 || done.StuckBy[reconcile.ReasonNoPoller] != 25 || observed.StuckBy[reconcile.ReasonNoPoller] != 25 {
		f.Errorf("%d exports are named, the counts are %v, and %v were observed", len(done.Stuck), done.StuckBy, observed.StuckBy)
	}
	if s := done.Stuck[0]; !strings.Contains(s.Detail, "TASK_QUEUE="+f.Name()) {
		f.Errorf("the detail is %q", s.Detail)
	}
	f.reconcile() // logs nothing, because an hour is not over
	if n := strings.Count(lines.String(), "an export is stuck"); n != 25 {
		f.Errorf("the log has %d lines for 25 exports:\n%s", n, lines.String())
	}
}
