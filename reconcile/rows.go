package reconcile

import (
	"context"

	"memexport/internal/service/metrics"
)

// sweepRows erases personal data from the rows of purged exports, and deletes rows whose retention is
// over. It works in batches, so that no statement holds many locks.
func (a *Activities) sweepRows(ctx context.Context) error {
	exports := a.Steps.Exports
	if err := inBatches(ctx, "erased", func() (int, error) { return exports.ErasePurged(ctx, batch) }); err != nil {
		return err
	}
	if a.History > 0 {
		if err := inBatches(ctx, "history", func() (int, error) { return exports.DeleteHistory(ctx, a.History, batch) }); err != nil {
			return err
		}
	}
	if a.AuditRetention > 0 {
		return inBatches(ctx, "audit", func() (int, error) { return a.Audit.DeleteOld(ctx, a.AuditRetention, batch) })
	}
	return nil
}

// inBatches calls do repeatedly until a call changes fewer rows than a full batch, because then no work is
// left. It counts the rows in the metric Swept under this kind.
func inBatches(ctx context.Context, kind string, do func() (changed int, err error)) error {
	for {
		changed, err := do()
		metrics.Swept.Add(ctx, int64(changed), kind)
		if err != nil || changed < batch {
			return err
		}
	}
}
