package activities

import (
	"context"
	"errors"
	"time"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
)

// FailInput says why an export failed.
type FailInput struct {
	ExportID string `json:"export_id"`
	Code     string `json:"code"`            // a key of export.Failures
	Cause    string `json:"cause,omitempty"` // the error that caused the failure, for the log; it contains nothing of a memory
	// KeepReady is set by a caller that deletes the objects only if the export is FAILED.
	KeepReady bool `json:"keep_ready,omitempty"`
}

// Fail makes an export FAILED. A READY export becomes EXPIRED instead, because the workflow deletes the
// export's objects next. With KeepReady, a READY export stays READY. If the export is FAILED or EXPIRED
// already, Fail does not change its status. Fail returns the state of the export.
func (a *Activities) Fail(ctx context.Context, in FailInput) (Settled, error) {
	defer attempt.Heartbeat(ctx)()
	failure, ok := export.Failures[in.Code]
	if !ok {
		failure = export.Failures[export.CodeInternal]
	}
	failure.Cause = in.Cause
	err := a.Exports.Fail(ctx, in.ExportID, failure)
	if errors.Is(err, export.ErrConflict) && !in.KeepReady {
		err = a.Exports.Expire(ctx, in.ExportID)
	}
	if err != nil && !errors.Is(err, export.ErrConflict) {
		return Settled{}, attempt.DatabaseError(ctx, err)
	}
	e, err := a.Exports.Find(ctx, in.ExportID)
	if err != nil {
		return Settled{}, attempt.DatabaseError(ctx, err)
	}
	a.ended(ctx, e.WorkspaceID) // call ended even if an earlier attempt recorded the failure, because that attempt may have died before this line
	return a.settled(e), nil
}

// ExpireInput names the export whose downloads end. It is encoded like ExportRef, which earlier versions passed to
// Expire.
type ExpireInput struct {
	ExportID string `json:"export_id"`
	Due      bool   `json:"due,omitempty"` // the timer of the export has fired, and nobody asked for an early end
}

// ExpireResult says when to delete the objects.
type ExpireResult struct {
	PurgeAt   time.Time `json:"purge_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // when the downloads ended; earlier than planned after a cancellation or expire-now
	Failed    bool      `json:"failed,omitempty"`    // whether the export is FAILED
	// Left is set if the timer has fired too early: the export stays READY for this time.
	Left time.Duration `json:"left,omitempty"`
}

// Expire makes a READY export EXPIRED. The objects of the export stay for the grace period, so that
// downloads that have begun can finish. The objects of a deleted export need no grace period.
//
// The timer of the export follows the clock of Temporal, and expires_at is a time of Postgres. So if the timer has
// fired, Expire leaves an export READY whose expires_at is still in the future. Then the workflow sleeps again.
//
// An unfinished export becomes FAILED: Postgres has lost the commit that made it READY, for example in a fail-over,
// and its objects are deleted next. Otherwise it would stay unfinished for good, and keep its place to run.
func (a *Activities) Expire(ctx context.Context, in ExpireInput) (ExpireResult, error) {
	defer attempt.Heartbeat(ctx)()
	var left time.Duration
	var err error
	if in.Due {
		left, err = a.Exports.ExpireDue(ctx, in.ExportID)
	} else {
		err = a.Exports.Expire(ctx, in.ExportID)
	}
	if errors.Is(err, export.ErrConflict) {
		lost := export.Failures[export.CodeInternal]
		lost.Cause = "the export was READY, but Postgres has lost that status"
		err = a.Exports.Fail(ctx, in.ExportID, lost)
	}
	if err != nil && !errors.Is(err, export.ErrConflict) {
		return ExpireResult{}, attempt.DatabaseError(ctx, err)
	}
	e, err := a.Exports.Find(ctx, in.ExportID)
	if err != nil {
		return ExpireResult{}, attempt.DatabaseError(ctx, err)
	}
	if e.StoredStatus == export.Failed {
		a.ended(ctx, e.WorkspaceID) // as in Fail
	}
	return ExpireResult{PurgeAt: a.purgeAt(e), ExpiresAt: a.settled(e).ExpiresAt, Failed: e.StoredStatus == export.Failed, Left: left}, nil
}

// Purge deletes every object of an export and records the deletion.
func (a *Activities) Purge(ctx context.Context, in ExportRef) error {
	defer attempt.Heartbeat(ctx)()
	if err := a.Archive.DeleteExport(ctx, in.ExportID); err != nil {
		if ctx.Err() != nil {
			return attempt.Interruption(ctx)
		}
		// Return a retryable error even if the store denies access. WriteRange would give up in this
		// case, but Purge must not, because the objects must be deleted at some time.
		return attempt.Retryable(attempt.TypeStorageUnavailable, err)
	}
	return attempt.DatabaseError(ctx, a.Exports.Purged(ctx, in.ExportID))
}
