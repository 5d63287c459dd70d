package worker_test

import (
	"context"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// overlappingRuns presses the buttons Trigger and Backfill of the schedule memexport-reconcile with every overlap
// policy, so that many runs of Reconcile look at the same exports at once. Each export must get the outcome that a
// single run gives it.
func overlappingRuns(t *testing.T, b *buttonTable) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	want := map[string]string{}
	for i := range 12 {
		e, err := b.exports.Create(ctx, export.Export{WorkspaceID: workspaceID, Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		if want[e.ID] = "READY, Running"; i%2 == 0 { // the others have no workflow, as after an outage of Temporal
			continue
		}
		want[e.ID] = "FAILED TERMINATED, Terminated"
		if err := workflows.NewStarter(b.options.Client, "default", b.options.TaskQueue+" nobody").Start(ctx, e); err != nil {
			t.Fatal(err)
		}
		if err := b.options.Client.TerminateWorkflow(ctx, export.WorkflowID(e.ID), "", "a test"); err != nil {
			t.Fatal(err)
		}
	}
	for id := range want { // make the exports old enough for the reconciler
		b.exec(`UPDATE memexport.exports SET updated_at = updated_at - interval '1 minute' WHERE id = $1`, id)
	}
	schedule := b.options.Client.ScheduleClient().GetHandle(ctx, "memexport-reconcile")
	for number := range enumspb.ScheduleOverlapPolicy_name {
		if err := schedule.Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enumspb.ScheduleOverlapPolicy(number)}); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now()
	if err := schedule.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
		{Start: end.Add(-30 * time.Second), End: end, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL},
	}}); err != nil {
		t.Fatal(err)
	}
	for id, outcome := range want {
		if err := b.until(ctx, id, outcome); err != nil {
			t.Error(err)
		}
	}
	b.wantRuns(ctx, "ExecutionStatus = 'Completed'", func(n int64) bool { return n >= 30 })
	b.wantRuns(ctx, "ExecutionStatus = 'Failed'", func(n int64) bool { return n == 0 })
	if n := b.errs.Load(); n > 0 {
		t.Errorf("the runs had %d errors", n)
	}
}

// wantRuns waits until the number of runs of Reconcile that match the query is as want says.
func (b *buttonTable) wantRuns(ctx context.Context, query string, want func(n int64) bool) {
	b.Helper()
	await.True(b, patience, "the number of runs with "+query+" is right", func() bool {
		found, err := b.options.Client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: "default",
			Query: "WorkflowType = 'Reconcile' AND " + query})
		return err == nil && want(found.GetCount())
	})
}
