// Package dispatch starts the workflows of exports that wait in a queue. Each workspace has a queue of
// its own and may run a few exports at the same time. When one of these exports ends, the next export in
// the workspace's queue starts. So a long queue of one workspace does not delay the exports of another.
package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/workflows"
)

const (
	// defaultTimeout is long enough even if the database and the Temporal server are busy.
	defaultTimeout = 30 * time.Second
	// hold is the longest time that Next makes its caller wait. Usually Next needs only milliseconds.
	hold = 2 * time.Second
)

// Dispatcher starts waiting exports. It is safe for concurrent use. Every field is required unless its
// comment names a default.
type Dispatcher struct {
	Exports *export.Store // its limits say how many exports a workspace may run at the same time
	Starter *workflows.Starter
	Log     *slog.Logger

	// Timeout limits the time spent on one workspace. The reconciler later starts the exports that were
	// not started in this time. Defaults to 30 seconds.
	Timeout time.Duration
}

// Next starts the exports of a workspace that have waited longest, as many as the workspace may run. Call
// it when an export of the workspace has ended. Next works even if ctx has ended. After two seconds,
// Next returns and goes on in the background. Errors are only logged, because the reconciler later starts
// exports that Next could not start.
func (d *Dispatcher) Next(ctx context.Context, workspaceID string) {
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := d.next(ctx, workspaceID); err != nil {
			d.warn(ctx, workspaceID, err)
		}
	}()
	select {
	case <-done:
	case <-time.After(hold):
	}
}

func (d *Dispatcher) warn(ctx context.Context, workspaceID string, err error) {
	d.Log.WarnContext(ctx, "waiting exports could not be started; the reconciler tries again", "workspace_id", workspaceID, "error", attempt.SafeMessage(err))
}

// next claims the exports that may run and starts their workflows. It returns how many exports it claimed,
// and the first error. If it cannot start the workflow of a claimed export, the reconciler starts that
// workflow later.
//
// If the number of running exports is limited for all workspaces together, the next export to run may belong
// to another workspace, because the workspaces take turns.
func (d *Dispatcher) next(ctx context.Context, workspaceID string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, defaultTimeout))
	defer cancel()
	if !d.Exports.ByTurns() {
		return d.startOf(ctx, workspaceID)
	}
	started := 0
	for last := ""; ; {
		turn, err := d.Exports.NextTurn(ctx)
		if err != nil || turn == "" {
			return started, err
		}
		n, err := d.startOf(ctx, turn)
		started += n
		// n is 0 if another process was faster, or if Claim has made the exports of the workspace FAILED. In both
		// cases go on, because another workspace may have the next turn. But stop if this workspace also had the
		// turn before: without this condition, the loop might never end.
		if err != nil || n == 0 && turn == last {
			return started, err
		}
		last = turn
	}
}

// startOf claims the exports of one workspace that may run and starts their workflows.
func (d *Dispatcher) startOf(ctx context.Context, workspaceID string) (int, error) {
	claimed, err := d.Exports.Claim(ctx, workspaceID)
	if err != nil {
		return 0, err
	}
	for _, e := range claimed {
		if startErr := d.Starter.Start(ctx, e); err == nil {
			err = startErr
		}
	}
	return len(claimed), err
}

// Done counts what All has done.
type Done struct {
	Dispatched int // exports that may now run
	Errors     int // workspaces for which something failed; the log says what
}

// All starts exports as Next does, for every workspace that has waiting exports. It returns when all work
// is done. The workspace whose export has waited longest comes first. If one workspace fails, All goes on
// with the others.
func (d *Dispatcher) All(ctx context.Context) (Done, error) {
	var done Done
	waiting, err := d.Exports.WorkspacesWaiting(ctx)
	if err != nil {
		return done, err
	}
	if d.Exports.ByTurns() {
		waiting = waiting[:min(1, len(waiting))] // one call of next starts exports of all workspaces
	}
	for _, workspaceID := range waiting {
		dispatched, err := d.next(ctx, workspaceID)
		done.Dispatched += dispatched
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		if err != nil {
			done.Errors++
			d.warn(ctx, workspaceID, err)
		}
		if errors.Is(err, export.ErrStoreFull) {
			break // the store is full, so no other workspace can start exports either
		}
	}
	return done, nil
}
