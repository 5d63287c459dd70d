package reconcile

import (
	"context"
	"time"

	"memexport/internal/service/metrics"
)

// count counts what a run has done. err is the run's error.
func (r *Reconciled) count(ctx context.Context, err error) {
	metrics.Reconciled.Add(ctx, int64(r.Started), "start")
	metrics.Reconciled.Add(ctx, int64(r.Settled), "settle")
	metrics.Reconciled.Add(ctx, int64(r.Dispatched), "dispatch")
	metrics.Reconciled.Add(ctx, int64(r.Errors), "error")
	succeeded(ctx, metrics.ReconcilerSuccess, err)
}

// succeeded sets the gauge to the present time, unless the run ended with an error.
func succeeded(ctx context.Context, gauge *metrics.Gauge, err error) {
	if err == nil {
		gauge.Set(ctx, float64(time.Now().Unix()))
	}
}

// CountStuck returns how many exports are stuck, by the name of the reason.
func (r *Reconciled) CountStuck() map[string]int {
	counts := map[string]int{}
	for reason, n := range r.StuckBy {
		counts[string(reason)] = n
	}
	return counts
}
