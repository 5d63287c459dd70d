package workflows

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// rangesInFlight holds the ranges that are being written.
type rangesInFlight struct {
	done   []workflow.Future // one future for each range, in order
	cancel workflow.CancelFunc
	failed error // the error of the range that failed first
}

// startRanges writes the ranges in the background. It starts them in order and writes plan.Parallel of
// them at a time. When one range fails, startRanges cancels the other ranges.
func (r *run) startRanges(ctx workflow.Context, plan activities.PlanResult) *rangesInFlight {
	ranges := &rangesInFlight{}
	ctx, ranges.cancel = workflow.WithCancel(ctx)
	slots := workflow.NewSemaphore(ctx, int64(max(1, plan.Parallel)))
	for i, planned := range plan.Ranges {
		future, settable := workflow.NewFuture(ctx)
		ranges.done = append(ranges.done, future)
		workflow.Go(ctx, func(ctx workflow.Context) {
			err := r.writeRange(ctx, slots, i, planned)
			if err != nil && ranges.failed == nil {
				ranges.failed = err
				ranges.cancel()
			}
			settable.SetError(err)
		})
	}
	return ranges
}

func (r *run) writeRange(ctx workflow.Context, slots workflow.Semaphore, number int, planned memory.PlannedRange) error {
	if err := slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer slots.Release(1)
	input := activities.WriteRangeInput{ExportID: r.export.ExportID, Number: number, Range: planned.Range}
	summary := fmt.Sprintf("range %d of %d, about %s memories", number+1, r.details.ranges, humanize.Comma(planned.Estimate))
	var written export.Written
	if err := r.execute(r.working(ctx, summary), a.WriteRange, input, &written); err != nil {
		return err
	}
	r.details.rangesDone++
	r.details.written = r.details.written.Plus(written)
	r.show(ctx, export.Processing)
	return nil
}

// cause returns the error with which the export fails: the error of the range that failed first, if a
// range failed, and otherwise err. err alone is not enough, because it may come from a range that was
// cancelled after the first one failed.
func (f *rangesInFlight) cause(err error) error {
	if f.failed != nil {
		return f.failed
	}
	return err
}

// stop cancels the ranges that are still being written and waits until they have ended, so that none
// of them writes an object after the cleanup.
func (f *rangesInFlight) stop(ctx workflow.Context) {
	f.cancel()
	for _, done := range f.done {
		_ = done.Get(ctx, nil) // the caller already has the error that counts
	}
}
