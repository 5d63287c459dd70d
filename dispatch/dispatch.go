// Package dispatch starts the workflows of exports that wait in the outbox. Each workspace has a few
// places to run exports; when one of its exports ends, the place goes to the next in its queue. The
// exports of one workspace therefore never wait for a long queue of another.
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
	// defaultTimeout is long enough for a database and a Temporal server that are busy.
	defaultTimeout = 30 * time.Second
	// hold is how long Next makes its caller wait. A healthy system needs milliseconds.
	hold = 2 * time.Second
)

// Dispatcher starts waiting exports. It is safe for concurrent use. Every field without a default is
// required.
type Dispatcher struct {
	Exports *export.Store // its limits say how many places a workspace has
	Starter *workflows.Starter
	Log     *slog.Logger

	// Timeout bounds the work for one workspace. The reconciler does later what was not done in time.
	// Defaults to 30 seconds.
	Timeout time.Duration
}

// Next gives the free places of a workspace to the exports that have waited longest, and starts these.
// Call it when an export of the workspace has ended, even if ctx has ended too. If it takes longer than
// two seconds, it goes on in the background. It may fail, which is only logged: the reconciler starts
// the exports later.
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
	d.Log.WarnContext(ctx, "waiting exports could not be started; the reconciler tries again", "workspace", workspaceID, "error", attempt.SafeMessage(err))
}

// next returns how many exports got a place, and the first error. An export that has a place but
// could not be started is found by the reconciler.
func (d *Dispatcher) next(ctx context.Context, workspaceID string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, defaultTimeout))
	defer cancel()
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
	Dispatched int // exports that got a place
	Errors     int // workspaces for which something went wrong; the log says what
}

// All does the same for every workspace that has waiting exports, the one that has waited longest
// first. A workspace that fails does not stop the others.
func (d *Dispatcher) All(ctx context.Context) (Done, error) {
	var done Done
	waiting, err := d.Exports.WorkspacesWaiting(ctx)
	if err != nil {
		return done, err
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
			break // it is full for the others too
		}
	}
	return done, nil
}
