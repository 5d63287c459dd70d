package reconcile

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
)

const defaultOrphanAge = 24 * time.Hour

// Sweep deletes four things: rows that are older than their retention, objects of exports that have no row,
// objects that a late attempt wrote after its export was purged, and, if the store is a directory, old probes. A
// probe is an object that a worker writes when it starts. A worker that is killed at that moment leaves its probe
// behind. Sweep returns the number of exports whose objects it deleted.
func (a *Activities) Sweep(ctx context.Context) (swept int, err error) {
	defer attempt.Heartbeat(ctx)()
	defer func() { succeeded(ctx, metrics.SweeperSuccess, err) }()
	if err := a.sweepRows(ctx); err != nil {
		return swept, attempt.DatabaseError(ctx, err)
	}
	err = a.Steps.Archive.Exports(ctx, func(id string) error {
		orphaned, err := a.orphaned(ctx, id)
		if err != nil || !orphaned {
			return err
		}
		swept++
		if err := a.Steps.Archive.DeleteExport(ctx, id); err != nil {
			return err
		}
		metrics.Swept.Add(ctx, 1, "objects")
		activity.GetLogger(ctx).Info("export swept", "export_id", id)
		return nil
	})
	if err == nil {
		err = a.Steps.Archive.SweepProbes(ctx, time.Now().Add(-cmp.Or(a.OrphanAge, defaultOrphanAge)))
	}
	var typed *temporal.ApplicationError
	switch {
	case ctx.Err() != nil:
		return swept, attempt.Interruption(ctx)
	case err == nil || errors.As(err, &typed): // a database error from orphaned already has a type
		return swept, err
	}
	return swept, attempt.Retryable(attempt.TypeStorageUnavailable, err)
}

// orphaned reports whether the objects stored under this id belong to no export, or to a purged one, and
// are old enough to be deleted.
func (a *Activities) orphaned(ctx context.Context, id string) (bool, error) {
	e, err := a.Steps.Exports.Find(ctx, id)
	unknown := errors.Is(err, export.ErrNotFound)
	if err != nil && !unknown {
		return false, attempt.DatabaseError(ctx, err)
	}
	if !unknown && e.PurgedAt == nil {
		return false, nil
	}
	newest, err := a.Steps.Archive.LastWritten(ctx, id)
	return err == nil && time.Since(newest) >= cmp.Or(a.OrphanAge, defaultOrphanAge), err
}
