package reconcile

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
)

const defaultOrphanAge = 24 * time.Hour

// Sweep deletes four things: rows that are older than their retention, objects of exports that have no row,
// objects that a late attempt wrote after its export was purged, and, if the store is a directory, old probes. A
// probe is an object that a worker writes when it starts. A worker that is killed at that moment leaves its probe
// behind. Sweep returns the number of exports whose objects it deleted.
//
// If the store refuses to delete the objects of one export, Sweep goes on with the others. At the end it returns
// a final error, because the next run of the schedule tries again soon enough.
func (a *Activities) Sweep(ctx context.Context) (swept int, err error) {
	defer attempt.Heartbeat(ctx)()
	defer func() { succeeded(ctx, metrics.SweeperSuccess, err) }()
	if err := a.sweepRows(ctx); err != nil {
		return swept, attempt.DatabaseError(ctx, err)
	}
	var failures archive.Failures
	err = a.Steps.Archive.Exports(ctx, func(id string) error {
		deleted, err := a.sweepExport(ctx, id)
		if deleted {
			swept++
		}
		var typed *temporal.ApplicationError // a database error has a type already
		if ctx.Err() != nil || errors.As(err, &typed) {
			return err
		}
		stop := failures.Add(id, err)
		if err != nil && failures.Count() <= reported {
			activity.GetLogger(ctx).Warn("the objects of an export could not be swept; the next sweep tries again",
				"export_id", id, "error", attempt.SafeMessage(err))
		}
		if stop {
			return failures.Err()
		}
		return nil
	})
	var typed *temporal.ApplicationError
	switch {
	case ctx.Err() != nil:
		return swept, attempt.Interruption(ctx)
	case errors.As(err, &typed):
		return swept, err
	case err != nil:
		return swept, attempt.Retryable(attempt.TypeStorageUnavailable, err)
	}
	err = a.Steps.Archive.SweepProbes(ctx, time.Now().Add(-cmp.Or(a.OrphanAge, defaultOrphanAge)))
	if ctx.Err() != nil {
		return swept, attempt.Interruption(ctx)
	}
	if err := errors.Join(failures.Err(), err); err != nil {
		return swept, attempt.Final(attempt.TypeSweepIncomplete, err)
	}
	return swept, nil
}

// sweepExport deletes the objects stored under this id if they are orphaned, and reports whether it did.
func (a *Activities) sweepExport(ctx context.Context, id string) (deleted bool, err error) {
	e, orphaned, err := a.orphaned(ctx, id)
	if err != nil || !orphaned {
		return false, err
	}
	if err := a.Steps.Archive.DeleteExport(ctx, id); err != nil {
		return false, err
	}
	metrics.Swept.Add(ctx, 1, "objects")
	a.tell(ctx, slog.LevelInfo, e, "export swept")
	return true, nil
}

// orphaned reports whether the objects stored under this id belong to no export, or to a purged one, and
// are old enough to be deleted. If there is no row of the export, e has only the id.
func (a *Activities) orphaned(ctx context.Context, id string) (e export.Export, orphaned bool, err error) {
	e, err = a.Steps.Exports.Find(ctx, id)
	unknown := errors.Is(err, export.ErrNotFound)
	if err != nil && !unknown {
		return e, false, attempt.DatabaseError(ctx, err)
	}
	if !unknown && e.PurgedAt == nil {
		return e, false, nil
	}
	e.ID = id
	newest, err := a.Steps.Archive.LastWritten(ctx, id)
	return e, err == nil && time.Since(newest) >= cmp.Or(a.OrphanAge, defaultOrphanAge), err
}
