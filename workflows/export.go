// Package workflows orchestrates exports on Temporal. Its code must stay deterministic: workflows
// sleep for days and are replayed by newer code. A change of what they do needs GetVersion and a
// new history in testdata.
package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// ExportInput is the input of the workflow Export. Ids only: what is exported, and for whom, is in
// the export's row.
type ExportInput struct {
	ExportID    string `json:"export_id"`
	WorkspaceID string `json:"workspace_id"` // the fairness key of every activity
	// SearchAttributes says whether the namespace has them: an upsert of one that it lacks would
	// fail the workflow task for ever.
	SearchAttributes bool `json:"search_attributes"`
}

// UpdateExpireNow is the update with which an operator ends the downloads of a READY export before
// its time.
const UpdateExpireNow = "expire-now"

// Export runs one export from its plan to the deletion of its objects.
func Export(ctx workflow.Context, in ExportInput) error {
	e := newRun(in)
	if err := e.handleExpireNow(ctx); err != nil {
		return err
	}
	published, err := e.write(ctx)
	if err != nil {
		return e.fail(ctx, err)
	}
	e.sleepUntil(ctx, published.ExpiresAt, "expires") // 72 hours, unless configured otherwise
	purgeAt, err := e.expire(ctx)
	if err != nil {
		return err
	}
	e.sleepUntil(ctx, purgeAt, "objects deleted")
	if err := e.purge(ctx); err != nil {
		return err
	}
	return ctx.Err() // a cancel shows as one
}

// act names the activities; they run in the worker that has registered them.
var act *activities.Activities

// run is one execution of Export.
type run struct {
	exportID   string
	workspace  string
	attributes bool
	expireNow  bool
	report     report
}

func newRun(in ExportInput) *run {
	return &run{exportID: in.ExportID, workspace: in.WorkspaceID, attributes: in.SearchAttributes, report: report{status: export.Pending}}
}

// write plans the export, writes its ranges, some at a time, verifies them in order, and publishes.
func (e *run) write(ctx workflow.Context) (published activities.PublishResult, err error) {
	ref := activities.ExportRef{ExportID: e.exportID}
	var plan activities.PlanResult
	e.show(ctx, export.Processing)
	if err := workflow.ExecuteActivity(e.working(ctx, "divide the memories into ranges"), act.Plan, ref).Get(ctx, &plan); err != nil {
		return published, err
	}
	e.report.ranges = len(plan.Ranges)
	ranges := e.startRanges(ctx, plan)
	digest := archive.Digest{}
	defer ranges.stop(ctx)
	for i, done := range ranges.done {
		if err := done.Get(ctx, nil); err != nil {
			return published, ranges.cause(err)
		}
		if i == len(ranges.done)-1 {
			break // the last one is verified by Publish
		}
		input := activities.VerifyInput{ExportID: e.exportID, Number: i, Digest: digest}
		summary := fmt.Sprintf("verify range %d of %d", i+1, len(plan.Ranges))
		if err := workflow.ExecuteActivity(e.working(ctx, summary), act.Verify, input).Get(ctx, &digest); err != nil {
			return published, ranges.cause(err)
		}
	}
	input := activities.PublishInput{ExportID: e.exportID, Ranges: len(plan.Ranges), Written: e.report.written, Digest: digest}
	if plan.Compose { // the plans of older histories say nothing of it, so that those replay as they are
		if err := workflow.ExecuteActivity(e.working(ctx, "compose one object"), act.Compose, ref).Get(ctx, &input.Composed); err != nil {
			return published, err
		}
	}
	if err := workflow.ExecuteActivity(e.working(ctx, "verify and publish"), act.Publish, input).Get(ctx, &published); err != nil {
		return published, err
	}
	e.report.expiresAt = published.ExpiresAt
	e.show(ctx, export.Ready)
	return published, nil
}

// rangesInFlight are the ranges that are being written.
type rangesInFlight struct {
	done   []workflow.Future // one for each range
	cancel workflow.CancelFunc
	failed error // what the first one that failed returned
}

// cause is the error that an export fails for: the first of a range, of which others may be the
// mere consequence.
func (r *rangesInFlight) cause(err error) error {
	if r.failed != nil {
		return r.failed
	}
	return err
}

// stop cancels what is still being written and waits until it is, so that nothing is written behind
// the back of the cleanup.
func (r *rangesInFlight) stop(ctx workflow.Context) {
	r.cancel()
	for _, done := range r.done {
		_ = done.Get(ctx, nil) // what matters has been returned already
	}
}

// startRanges writes the ranges in the background, in order, plan.Parallel at a time. When one
// fails the others are cancelled.
func (e *run) startRanges(ctx workflow.Context, plan activities.PlanResult) *rangesInFlight {
	r := &rangesInFlight{}
	ctx, r.cancel = workflow.WithCancel(ctx)
	places := workflow.NewSemaphore(ctx, int64(max(1, plan.Parallel)))
	for i, planned := range plan.Ranges {
		future, settable := workflow.NewFuture(ctx)
		r.done = append(r.done, future)
		workflow.Go(ctx, func(ctx workflow.Context) {
			err := e.writeRange(ctx, places, i, planned)
			if err != nil && r.failed == nil {
				r.failed = err
				r.cancel()
			}
			settable.SetError(err)
		})
	}
	return r
}

func (e *run) writeRange(ctx workflow.Context, places workflow.Semaphore, number int, planned memory.PlannedRange) error {
	if err := places.Acquire(ctx, 1); err != nil {
		return err
	}
	defer places.Release(1)
	input := activities.WriteRangeInput{ExportID: e.exportID, Number: number, Range: planned.Range}
	summary := fmt.Sprintf("range %d of %d, about %d memories", number+1, e.report.ranges, planned.Estimate)
	var written activities.Written
	if err := workflow.ExecuteActivity(e.working(ctx, summary), act.WriteRange, input).Get(ctx, &written); err != nil {
		return err
	}
	e.report.done++
	e.report.written.Add(written)
	e.show(ctx, export.Processing)
	return nil
}

// fail records why the export failed and deletes what it has written, also when the workflow was
// cancelled, and returns the error, so that Temporal shows what the row says.
func (e *run) fail(ctx workflow.Context, err error) error {
	clean, _ := workflow.NewDisconnectedContext(ctx)
	code := failureCode(err)
	input := activities.FailInput{ExportID: e.exportID, Code: code}
	if failErr := workflow.ExecuteActivity(e.settling(clean, "record "+code), act.Fail, input).Get(clean, nil); failErr != nil {
		return errors.Join(err, failErr)
	}
	e.report.failure = code
	e.show(clean, export.Failed)
	if purgeErr := e.purge(clean); purgeErr != nil {
		return errors.Join(err, purgeErr)
	}
	return err
}

// failureCode is the stable code for an error of an activity.
func failureCode(err error) string {
	var applicationErr *temporal.ApplicationError
	var timeoutErr *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		return export.CodeCancelled
	case errors.As(err, &applicationErr):
		if code, ok := activities.FailureCodes[applicationErr.Type()]; ok {
			return code
		}
		return export.CodeInternal
	case errors.As(err, &timeoutErr):
		return export.CodeTimedOut
	}
	return export.CodeInternal
}

// sleepUntil waits for an instant. A cancel or the update expire-now cuts it short.
func (e *run) sleepUntil(ctx workflow.Context, t time.Time, what string) {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, t.Sub(workflow.Now(ctx)),
		workflow.TimerOptions{Summary: what + " " + t.UTC().Format(time.RFC3339)})
	// An error is a cancel: the caller goes on with the cleanup, and returns ctx.Err() after it.
	_ = workflow.Await(ctx, func() bool { return timer.IsReady() || e.expireNow })
}

// handleExpireNow lets an operator expire the export at once, from the Temporal UI or the CLI.
func (e *run) handleExpireNow(ctx workflow.Context) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateExpireNow,
		func(workflow.Context) error {
			e.expireNow = true
			return nil
		},
		workflow.UpdateHandlerOptions{
			Description: "Ends the downloads of a READY export now and deletes its objects.",
			Validator: func() error {
				if e.report.status != export.Ready {
					return fmt.Errorf("the export is %s: only a READY one can expire", e.report.status)
				}
				return nil
			},
		})
}

// expire makes the export EXPIRED and returns when its objects are to go: at once after a cancel,
// for nobody wants them any more.
func (e *run) expire(ctx workflow.Context) (purgeAt time.Time, err error) {
	clean, _ := workflow.NewDisconnectedContext(ctx)
	var expired activities.ExpireResult
	ref := activities.ExportRef{ExportID: e.exportID}
	err = workflow.ExecuteActivity(e.settling(clean, "end the downloads"), act.Expire, ref).Get(clean, &expired)
	if err != nil {
		return purgeAt, err
	}
	e.expireNow = false // it is done: the grace period is for downloads that are under way
	e.show(clean, export.Expired)
	return expired.PurgeAt, nil
}

// purge deletes the objects, whether or not the workflow was cancelled.
func (e *run) purge(ctx workflow.Context) error {
	clean, _ := workflow.NewDisconnectedContext(ctx)
	ref := activities.ExportRef{ExportID: e.exportID}
	err := workflow.ExecuteActivity(e.settling(clean, "delete the objects"), act.Purge, ref).Get(clean, nil)
	if err == nil {
		e.report.purged = true
		e.show(clean, e.report.status)
	}
	return err
}
