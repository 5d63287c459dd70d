// Package workflows contains the workflow Export, and starts and cancels it.
//
// The code of a workflow must stay deterministic: an export sleeps for days, and then newer code may
// replay its history. A change to what a workflow does needs workflow.GetVersion and a new history in
// testdata/histories.
package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
)

// ExportInput is the input of the workflow Export. It does not say what to export: the activities read that from
// the export's row.
type ExportInput struct {
	ExportID    string `json:"export_id"`
	WorkspaceID string `json:"workspace_id"` // the fairness key of every activity
	// SearchAttributes says whether the namespace has the search attributes. Without the attributes, an
	// upsert would fail the workflow task again and again.
	SearchAttributes bool   `json:"search_attributes"`
	Docs             string `json:"docs,omitempty"` // where the pages of docs/ are; may be empty
}

// Export runs one export: it writes the file, sleeps until the export expires, makes the export EXPIRED,
// sleeps through the grace period, and deletes the objects. A cancellation ends the sleeps early, but
// Export still deletes the objects.
func Export(ctx workflow.Context, in ExportInput) error {
	r := newRun(in)
	if err := r.handleExpireNow(ctx); err != nil {
		return err
	}
	published, err := r.write(ctx)
	if err != nil {
		return r.fail(ctx, err)
	}
	if !published.Settled.Is() && wasReset(ctx) && workflow.GetVersion(ctx, "look-after-reset", workflow.DefaultVersion, 1) == 1 {
		if err := r.look(ctx, &published); err != nil {
			return r.fail(ctx, err)
		}
	}
	if s := published.Settled; s.Is() && s.Status != export.Ready {
		return r.conclude(ctx, s, failedBefore(s))
	}
	r.sleepUntil(ctx, published.ExpiresAt, "expires") // 72 hours by default
	purgeAt, err := r.expire(ctx)
	if err != nil {
		return err
	}
	r.sleepUntil(ctx, purgeAt, "objects deleted") // 1 hour by default
	if err := r.purge(ctx); err != nil {
		return err
	}
	return ctx.Err() // this makes Temporal show a cancelled workflow as cancelled
}

// a is nil, because it is only used to name the activities to run.
var a *activities.Activities

// run is one execution of Export.
type run struct {
	export     activities.ExportRef
	workspace  string
	attributes bool // whether to update the search attributes
	handOver   bool // whether the workflow itself runs an activity again after a stopping worker has handed it over
	expireNow  bool // whether an operator has asked to end the downloads
	details    details
}

func newRun(in ExportInput) *run {
	return &run{
		export: activities.ExportRef{ExportID: in.ExportID}, workspace: in.WorkspaceID, attributes: in.SearchAttributes,
		details: details{status: export.Pending, docs: in.Docs},
	}
}

// write plans the export, writes and verifies its ranges, and publishes the file. If the plan says so,
// write also makes the store join the parts into one object.
func (r *run) write(ctx workflow.Context) (published activities.PublishResult, err error) {
	plan, err := r.plan(ctx)
	if err != nil {
		return published, err
	}
	if s := plan.Settled; s.Is() { // this run was reset, or started again, after the export had ended
		r.adopt(ctx, s)
		return activities.PublishResult{ExpiresAt: s.ExpiresAt, Settled: s}, nil
	}
	r.details.ranges, r.details.began = len(plan.Ranges), workflow.Now(ctx)
	if small := plan.Published; small != nil {
		r.details.rangesDone, r.details.written = r.details.ranges, small.Written
		r.published(ctx, small.PublishResult)
		return small.PublishResult, nil
	}
	for _, planned := range plan.Ranges {
		r.details.estimate += planned.Estimate
	}
	ranges := r.startRanges(ctx, plan)
	digest, err := r.verify(ctx, ranges)
	if err != nil {
		err = ranges.cause(err)
		ranges.stop(ctx) // not deferred, because deferred calls also run, and may not block, when the workflow leaves the cache
		return published, err
	}
	input := activities.PublishInput{ExportID: r.export.ExportID, Ranges: len(plan.Ranges), Written: r.details.written, Digest: digest}
	if plan.Compose { // false in histories that were recorded before Compose existed
		if err := r.execute(r.working(ctx, "compose one object"), a.Compose, r.export, &input.Composed); err != nil {
			return published, err
		}
	}
	if err := r.execute(r.working(ctx, "verify and publish"), a.Publish, input, &published); err != nil {
		return published, err
	}
	if s := published.Settled; s.Is() {
		r.adopt(ctx, s)
		return published, nil
	}
	r.published(ctx, published)
	return published, nil
}

// plan shows the export as PROCESSING in the Temporal UI and runs the activity Plan, which also publishes the
// export if it is small.
func (r *run) plan(ctx workflow.Context) (plan activities.PlanResult, err error) {
	// Version 2 only sets r.handOver. Older code fails to replay a workflow of version 2. If it could replay the
	// workflow, it would make the export FAILED when a stopping worker hands an activity over.
	version := workflow.GetVersion(ctx, "publish a small export in Plan", workflow.DefaultVersion, 2)
	r.handOver = version >= 2
	options := workflow.GetActivityOptions(r.working(ctx, "divide the memories into ranges; publish a small export"))
	input := activities.PlanInput{ExportID: r.export.ExportID}
	if version >= 1 {
		input.PublishSmall = true
		// Older code gives this activity another id, so a worker that still runs older code fails to replay
		// this workflow. Otherwise it would go on without knowing that Plan has already published the export.
		options.ActivityID = "plan"
		// Starter sets the search attribute to PROCESSING, so the workflow need not upsert it. Older versions
		// of Starter set it to PENDING.
		if started, ok := workflow.GetTypedSearchAttributes(ctx).GetKeyword(AttributeStatus); ok {
			r.details.status = export.Status(started)
		}
	}
	r.show(ctx, export.Processing)
	err = r.execute(workflow.WithActivityOptions(ctx, options), a.Plan, input, &plan)
	return plan, err
}

// published shows that the export is READY.
func (r *run) published(ctx workflow.Context, published activities.PublishResult) {
	r.details.expiresAt = published.ExpiresAt
	r.show(ctx, export.Ready)
}

// verify waits for the ranges in order and verifies each one while later ranges are still being written.
// It returns the digest of all ranges except the last, which Publish verifies.
func (r *run) verify(ctx workflow.Context, ranges *rangesInFlight) (digest archive.Digest, err error) {
	for i, done := range ranges.done {
		if err := done.Get(ctx, nil); err != nil {
			return digest, err
		}
		if i == len(ranges.done)-1 {
			break
		}
		input := activities.VerifyInput{ExportID: r.export.ExportID, Number: i, Digest: digest}
		summary := fmt.Sprintf("verify range %d of %d", i+1, len(ranges.done))
		if err := r.execute(r.working(ctx, summary), a.Verify, input, &digest); err != nil {
			return digest, err
		}
	}
	return digest, nil
}

// fail records why the export failed, deletes the export's objects, and returns err, so that Temporal
// shows the same outcome as the row. fail does all this even if the workflow was cancelled. If the export
// had already ended, fail keeps the recorded outcome.
func (r *run) fail(ctx workflow.Context, err error) error {
	cleanup, _ := workflow.NewDisconnectedContext(ctx)
	code := attempt.FailureCode(err, ctx.Err() != nil)
	input := activities.FailInput{ExportID: r.export.ExportID, Code: code, Cause: attempt.Cause(err)}
	var settled activities.Settled
	if failErr := workflow.ExecuteActivity(r.settling(cleanup, "record "+code), a.Fail, input).Get(cleanup, &settled); failErr != nil {
		return errors.Join(err, failErr)
	}
	if !settled.Is() { // this history comes from a version in which Fail did not return the state
		settled = activities.Settled{Status: export.Failed, Code: code}
	}
	if settled.Code == code {
		r.details.cause = causeOf(err)
	}
	if code == export.CodeCancelled && ctx.Err() != nil {
		err = ctx.Err() // err may be a timeout that was not retried because of the cancellation
	}
	return r.conclude(ctx, settled, err)
}

// expire makes the export EXPIRED, even if the workflow was cancelled, and returns when to delete the
// export's objects. If the clock of Postgres is behind the clock of Temporal, the timer has fired too early. Then
// expire sleeps for the time that is left.
func (r *run) expire(ctx workflow.Context) (purgeAt time.Time, err error) {
	cleanup, _ := workflow.NewDisconnectedContext(ctx)
	expired, err := r.endDownloads(ctx, cleanup)
	for err == nil && expired.Left > 0 { // never in histories that were recorded before Left existed
		// Code that does not know this timer could take it for the one of the grace period. The version makes it
		// fail to replay instead.
		workflow.GetVersion(cleanup, "sleep until Postgres says that the export expires", workflow.DefaultVersion, 1)
		r.sleep(ctx, expired.Left, "expires", expired.ExpiresAt)
		expired, err = r.endDownloads(ctx, cleanup)
	}
	if err != nil {
		return purgeAt, err
	}
	if !expired.ExpiresAt.IsZero() {
		r.details.expiresAt = expired.ExpiresAt
	}
	r.details.purgeAt = expired.PurgeAt
	r.expireNow = false // reset it, or it would end the grace period early
	status := export.Expired
	if expired.Failed {
		status = export.Failed
	}
	r.show(cleanup, status)
	return expired.PurgeAt, nil
}

// endDownloads runs Expire in the context cleanup. It says whether the timer has fired: if the workflow was cancelled
// or an operator has sent expire-now, the downloads end early.
func (r *run) endDownloads(ctx, cleanup workflow.Context) (expired activities.ExpireResult, err error) {
	input := activities.ExpireInput{ExportID: r.export.ExportID, Due: ctx.Err() == nil && !r.expireNow}
	err = workflow.ExecuteActivity(r.settling(cleanup, "end the downloads"), a.Expire, input).Get(cleanup, &expired)
	return expired, err
}

// purge deletes the objects, even if the workflow was cancelled.
func (r *run) purge(ctx workflow.Context) error {
	cleanup, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.ExecuteActivity(r.cleaning(cleanup, "delete the objects"), a.Purge, r.export).Get(cleanup, nil); err != nil {
		return err
	}
	r.details.purged = true
	r.show(cleanup, r.details.status)
	return nil
}
