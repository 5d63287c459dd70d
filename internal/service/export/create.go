package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/rowid"
)

// Create inserts a PENDING export with the workspace, format, filter, idempotency key, creator and trace of e. If one
// of the workspace's places to run is free, Create gives it to the export and sets DispatchedAt; the
// caller must then start the export's workflow.
//
// Only a digest of the idempotency key is stored. If the workspace already has an export with the same
// key, Create returns that export, or ErrKeyReused if its format or filter differs from e's. If that
// export was purged, its filter has been erased, and Create returns the export without comparing format
// and filter. Without an earlier export, Create returns a LimitError if the workspace has reached a
// limit, ErrStoreFull if the store is full, and ErrCreatorGone if the API key e.CreatedBy has been deleted.
func (s *Store) Create(ctx context.Context, e Export) (Export, error) {
	id, err := uuid.NewV7() // ascending, so that inserts go to one end of the index
	if err != nil {
		return Export{}, err
	}
	filter, err := json.Marshal(e.Filter)
	if err != nil {
		return Export{}, err
	}
	full := s.checkFull(ctx)
	if full != nil && !errors.Is(full, ErrStoreFull) {
		return Export{}, full
	}
	wanted := record{ID: id.String(), WorkspaceID: e.WorkspaceID, Format: e.Format, Filter: filter,
		Status: Pending, StoredStatus: Pending, IdempotencyKey: storedKey(e.WorkspaceID, e.IdempotencyKey), CreatedBy: &e.CreatedBy, TraceParent: &e.TraceParent}
	for {
		var created Export
		isNew := false
		err := s.transactFor(ctx, e.WorkspaceID, func(tx *sqlx.Tx) error {
			if created, err = selectEarlier(ctx, tx, wanted, e.IdempotencyKey); !errors.Is(err, ErrNotFound) {
				return err
			}
			if full != nil {
				return full
			}
			created, err = s.insert(ctx, tx, wanted)
			isNew = err == nil
			return err
		})
		if err == nil && isNew {
			s.observe(ctx, StepCreated, created)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return created, err
		}
		// Processes of earlier versions do not take the lock of transactFor. One of them has just inserted an
		// export with the same key. Try again, so that selectEarlier finds this export.
	}
}

// selectEarlier returns the export that an earlier request with the same idempotency key has created in
// the workspace. It returns ErrNotFound if there is none, and ErrKeyReused if the format or the filter of
// that export differs from wanted.
func selectEarlier(ctx context.Context, tx *sqlx.Tx, wanted record, key *string) (Export, error) {
	if key == nil {
		return Export{}, ErrNotFound
	}
	// The row may contain the idempotency key itself, because earlier versions stored the key and not
	// its digest.
	earlier, err := selectOne(ctx, tx, `WHERE workspace_id = $1 AND idempotency_key IN ($2, $3) AND deleted_at IS NULL`,
		wanted.WorkspaceID, wanted.IdempotencyKey, key)
	if err != nil || earlier.PurgedAt != nil {
		return earlier, err
	}
	filter, err := json.Marshal(earlier.Filter)
	if err != nil {
		return Export{}, err
	}
	if earlier.Format != wanted.Format || string(filter) != string(wanted.Filter) {
		return Export{}, ErrKeyReused
	}
	return earlier, nil
}

// insert inserts an export unless its workspace has reached a limit. It returns sql.ErrNoRows if the
// workspace already has an export with the same idempotency key.
func (s *Store) insert(ctx context.Context, tx *sqlx.Tx, wanted record) (Export, error) {
	if err := holdKey(ctx, tx, wanted.WorkspaceID, *wanted.CreatedBy); err != nil {
		return Export{}, err
	}
	used, err := s.selectUsage(ctx, tx, wanted.WorkspaceID)
	if err != nil {
		return Export{}, err
	}
	if limit := s.limits.Unfinished; limit > 0 && used.Unfinished >= limit {
		return Export{}, &LimitError{Limit: LimitUnfinished, Max: int64(limit)}
	}
	if err := s.checkStored(ctx, tx, wanted.WorkspaceID); err != nil {
		return Export{}, err
	}
	// If another export of the workspace is waiting, the new export waits too, even if a place is free.
	waits := s.limits.Running > 0 && (used.Running >= s.limits.Running || used.Unfinished > used.Running) ||
		s.ByTurns() && (used.AllRunning >= s.limits.AllRunning || used.Unfinished > used.Running)
	err = tx.GetContext(ctx, &wanted, `INSERT INTO memexport.exports (id, workspace_id, format, filter, idempotency_key, dispatched_at, created_by, trace_parent)
		VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN NULL ELSE now() END, nullif($7, ''), nullif($8, ''))
		ON CONFLICT (workspace_id, idempotency_key) WHERE deleted_at IS NULL DO NOTHING
		RETURNING created_at, updated_at, dispatched_at`,
		wanted.ID, wanted.WorkspaceID, wanted.Format, wanted.Filter, wanted.IdempotencyKey, waits, wanted.CreatedBy, wanted.TraceParent)
	if err != nil {
		return Export{}, fmt.Errorf("insert an export: %w", err)
	}
	return wanted.export()
}

// holdKey keeps an API key of the workspace from being deleted until tx ends. It returns ErrCreatorGone if the
// key has been deleted already. The erasure of a workspace begins with its keys, so it finds every export that
// a key creates. holdKey does nothing if the creator is not a key.
func holdKey(ctx context.Context, tx *sqlx.Tx, workspaceID, creator string) error {
	if _, err := rowid.Parse(creator); err != nil {
		return nil
	}
	var id string
	err := tx.GetContext(ctx, &id, `SELECT id FROM memexport.api_keys WHERE id = $1 AND workspace_id = $2 FOR KEY SHARE`, creator, workspaceID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrCreatorGone
	}
	if err != nil {
		return fmt.Errorf("look up the API key that creates an export: %w", err)
	}
	return nil
}
