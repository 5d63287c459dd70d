package reconcile

import "context"

// sweepRows erases personal data from the rows of purged exports, and deletes rows whose retention is
// over. It works in batches, so that no statement holds many locks.
func (a *Activities) sweepRows(ctx context.Context) error {
	exports := a.Steps.Exports
	if err := inBatches(func() (int, error) { return exports.ErasePurged(ctx, batch) }); err != nil {
		return err
	}
	if a.History > 0 {
		if err := inBatches(func() (int, error) { return exports.DeleteHistory(ctx, a.History, batch) }); err != nil {
			return err
		}
	}
	if a.AuditRetention > 0 {
		return inBatches(func() (int, error) { return a.Audit.DeleteOld(ctx, a.AuditRetention, batch) })
	}
	return nil
}

// inBatches calls do repeatedly until a call changes fewer rows than a full batch, because then no work is
// left.
func inBatches(do func() (changed int, err error)) error {
	for {
		if changed, err := do(); err != nil || changed < batch {
			return err
		}
	}
}
