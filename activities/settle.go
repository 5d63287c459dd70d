package activities

import (
	"context"
	"errors"
	"time"

	"memexport/internal/service/export"
)

// FailInput says why an export failed.
type FailInput struct {
	ExportID string `json:"export_id"`
	Code     string `json:"code"` // one of export.Failures
}

// Fail makes an export FAILED. One that has become READY in the meantime is expired instead, for its
// objects are deleted next; one that has settled otherwise stays as it is.
func (a *Activities) Fail(ctx context.Context, in FailInput) error {
	failure, ok := export.Failures[in.Code]
	if !ok {
		failure = export.Failures[export.CodeInternal]
	}
	err := a.Exports.Fail(ctx, in.ExportID, failure)
	if errors.Is(err, export.ErrConflict) {
		err = a.Exports.Expire(ctx, in.ExportID)
	}
	if errors.Is(err, export.ErrConflict) {
		return nil
	}
	return storeError(ctx, err)
}

// ExpireResult says when the objects are to be deleted.
type ExpireResult struct {
	PurgeAt time.Time `json:"purge_at"`
}

// Expire makes a READY export EXPIRED. Downloads that are under way get the grace period.
func (a *Activities) Expire(ctx context.Context, in ExportRef) (ExpireResult, error) {
	err := a.Exports.Expire(ctx, in.ExportID)
	if err != nil && !errors.Is(err, export.ErrConflict) {
		return ExpireResult{}, storeError(ctx, err)
	}
	e, err := a.Exports.Find(ctx, in.ExportID)
	if err != nil {
		return ExpireResult{}, storeError(ctx, err)
	}
	if e.ExpiresAt == nil { // it failed
		return ExpireResult{PurgeAt: time.Now()}, nil
	}
	return ExpireResult{PurgeAt: e.ExpiresAt.Add(a.Grace)}, nil
}

// Purge deletes every object of an export and records that none is left.
func (a *Activities) Purge(ctx context.Context, in ExportRef) error {
	defer alive(ctx)()
	if err := a.Archive.DeleteExport(ctx, in.ExportID); err != nil {
		// Unlike a write that is refused, a delete is tried for ever: the bytes must go.
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return retryable(TypeStorageUnavailable, err)
	}
	return storeError(ctx, a.Exports.Purged(ctx, in.ExportID))
}
