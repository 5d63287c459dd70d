package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/internal/service/attempt"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/workflows"
)

const (
	// slack is how late a healthy workflow may be with its next step. After this time, the export is
	// overdue.
	slack = 10 * time.Second
	// batch is how many exports one query reads.
	batch = 1000
)

// Activities holds what the activities Reconcile and Sweep need. Every field is required unless its
// comment names a default.
type Activities struct {
	Steps   *activities.Activities // the store, the bucket, and the activities that end an export
	Client  client.Client          // used to look up the state of a workflow
	Starter *workflows.Starter
	// Dispatcher starts the exports that wait in a queue although they may run, for example after a crash.
	Dispatcher *dispatch.Dispatcher

	// History is how long the row of an export is kept after the export's objects were deleted. Zero keeps
	// the rows forever.
	History time.Duration

	// Audit stores the audit events. AuditRetention is how long the events are kept. Zero keeps them
	// forever.
	Audit          *audit.Store
	AuditRetention time.Duration

	// OrphanAge protects objects that may still be in use. Sweep deletes the objects of an unknown or
	// purged export only if the newest of these objects is older than OrphanAge. OrphanAge must be longer
	// than the longest attempt that could still record such an object. Defaults to 24 hours.
	OrphanAge time.Duration

	// StuckAfter is how long an export may stay PENDING or PROCESSING before Reconcile looks for the reason.
	// Defaults to 15 minutes.
	StuckAfter time.Duration
	// Log gets the lines about single exports, each in the trace of its export. The logger of the activity knows
	// only the trace of the run.
	Log *slog.Logger
	// Observe is called with the result of each run of Reconcile, for example to set metrics. Defaults to
	// doing nothing.
	Observe func(Reconciled)

	telling sync.Mutex
	told    map[string]time.Time // when this worker last logged that an export is stuck; guarded by telling
}

// tell logs a line about an export. An export without a row has only an id.
func (a *Activities) tell(ctx context.Context, level slog.Level, e export.Export, message string, attrs ...any) {
	about := []any{"export_id", e.ID}
	if e.WorkspaceID != "" {
		about = append(about, "workspace_id", e.WorkspaceID, "created_by", e.CreatedBy, "format", e.Format)
	}
	a.Log.Log(e.InTrace(ctx), level, message, append(about, attrs...)...)
}

// Reconciled says what a run has done.
type Reconciled struct {
	Looked     int `json:"looked"`     // exports that were overdue
	Started    int `json:"started"`    // exports whose workflow was started
	Settled    int `json:"settled"`    // exports that were made FAILED or EXPIRED, or whose objects were deleted
	Dispatched int `json:"dispatched"` // waiting exports that may now run
	Errors     int `json:"errors"`     // exports and workspaces for which something failed; the next run tries again

	StuckBy map[Reason]int `json:"stuck_by,omitempty"` // how many exports are stuck, by reason
	Stuck   []Stuck        `json:"stuck,omitempty"`    // the first of the stuck exports
}

// Reconcile starts the workflows that the API could not start, settles the exports that a terminated or lost
// workflow has left behind, and starts waiting exports that may run. It also settles exports that are late
// although their workflows are running, and reports the exports that are stuck. If one export fails,
// Reconcile goes on with the others.
func (a *Activities) Reconcile(ctx context.Context) (done Reconciled, err error) {
	defer attempt.Heartbeat(ctx)()
	defer func() { done.count(ctx, err) }()
	if err := a.settleOverdue(ctx, &done); err != nil {
		return done, err
	}
	a.forget()
	dispatched, err := a.Dispatcher.All(ctx)
	done.Dispatched += dispatched.Dispatched
	done.Errors += dispatched.Errors
	if a.Observe != nil {
		a.Observe(done)
	}
	return done, attempt.DatabaseError(ctx, err)
}

// settleOverdue settles all overdue exports. It reads them in batches by id, and each batch begins after the last
// id of the batch before. So settleOverdue reaches every export, even if it cannot settle some of them.
func (a *Activities) settleOverdue(ctx context.Context, done *Reconciled) error {
	i := &inspector{client: a.Client}
	for after := uuid.Nil.String(); ; {
		overdue, err := a.Steps.Exports.Overdue(ctx, slack, a.Steps.Grace, after, batch)
		if err != nil {
			return attempt.DatabaseError(ctx, err)
		}
		for _, e := range overdue {
			after = e.ID
			done.Looked++
			if err := a.settle(ctx, i, e, done); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if done.Errors++; done.Errors <= reported {
					a.tell(ctx, slog.LevelWarn, e, "an export could not be reconciled; the next run tries again", "error", attempt.SafeMessage(err))
				}
			}
		}
		if len(overdue) < batch {
			return nil
		}
	}
}

// settle carries out what decide says about one export, and counts it in done.
func (a *Activities) settle(ctx context.Context, i *inspector, e export.Export, done *Reconciled) error {
	state, description, err := i.workflow(ctx, e.ID)
	if err != nil {
		return err
	}
	what, code := decide(e, state, late(e, a.Steps.Grace))
	if state == running && what == purge {
		// If the workflow itself is retrying to delete the objects, another attempt would fail for the same reason.
		found, err := i.diagnose(ctx, description)
		if err != nil {
			return err
		}
		if found.activity == "Purge" {
			a.report(ctx, e, e.UpdatedAt, found, done)
			return nil
		}
	}
	if state == running && what != leave && e.DeletedAt != nil {
		if err := a.Starter.Cancel(ctx, e.ID); err != nil {
			return err
		}
	}
	if what == fail {
		// The export may have become READY since it was read, and its workflow may have been terminated after that.
		// Then it stays READY, unless it was deleted.
		keep := e.DeletedAt == nil
		settled, err := a.Steps.Fail(ctx, activities.FailInput{ExportID: e.ID, Code: code, KeepReady: keep,
			Cause: "found by the reconciler: its workflow is " + string(state)})
		if err != nil || keep && settled.Status != export.Failed {
			return err
		}
	}
	if what != leave {
		a.tell(ctx, slog.LevelInfo, e, "export reconciled", "action", what.String(), "status", e.StoredStatus, "workflow", state)
	}
	ref := activities.ExportRef{ExportID: e.ID}
	switch what {
	case start:
		done.Started++
		return a.Starter.Start(ctx, e)
	case fail:
		done.Settled++
		return a.Steps.Purge(ctx, ref)
	case expire:
		done.Settled++
		_, err := a.Steps.Expire(ctx, activities.ExpireInput{ExportID: e.ID})
		return err
	case purge:
		done.Settled++
		if _, err := a.Steps.Expire(ctx, activities.ExpireInput{ExportID: e.ID}); err != nil {
			return err
		}
		return a.Steps.Purge(ctx, ref)
	}
	if state == running {
		return a.look(ctx, i, e, description, done)
	}
	return nil
}
