package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/export"
)

// UpdateExpireNow is the name of the workflow update by which an operator ends the downloads of a READY
// export before the export expires.
const UpdateExpireNow = "expire-now"

// handleExpireNow registers the handler of the update expire-now, which an operator can send from the
// Temporal UI or CLI.
func (r *run) handleExpireNow(ctx workflow.Context) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateExpireNow,
		func(workflow.Context) error {
			r.expireNow = true
			return nil
		},
		workflow.UpdateHandlerOptions{
			Description: "Ends the downloads of a READY export now. Its objects are deleted after EXPORT_GRACE.",
			Validator: func() error {
				if r.details.status != export.Ready {
					return fmt.Errorf("the export is %s: only a READY one can expire", r.details.status)
				}
				return nil
			},
		})
}

// sleepUntil sleeps until t by the clock of Temporal.
func (r *run) sleepUntil(ctx workflow.Context, t time.Time, event string) {
	r.sleep(ctx, t.Sub(workflow.Now(ctx)), event, t)
}

// sleep sleeps for d. A cancellation or the update expire-now ends the sleep early. The Temporal UI shows
// event, which says what happens at t.
func (r *run) sleep(ctx workflow.Context, d time.Duration, event string, t time.Time) {
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, d, workflow.TimerOptions{Summary: event + " " + t.UTC().Format(time.RFC3339)})
	// The only possible error is a cancellation. After a cancellation, Export cleans up and then returns
	// ctx.Err().
	_ = workflow.Await(ctx, func() bool { return timer.IsReady() || r.expireNow })
}
