package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Create inserts a PENDING export with the workspace, format, filter and idempotency key of e, and gives
// it one of its workspace's places to run if one is free: DispatchedAt is then set, and the caller must
// start its workflow.
//
// Only a digest of the key is stored. If the workspace has an export with that key, Create returns that
// one, or ErrKeyReused if its format or filter differs. The filter of a purged export is erased, so that
// Create returns it without comparing anything. Otherwise it returns a LimitError if the workspace has reached a limit, and
// ErrStoreFull if the store is full.
func (s *Store) Create(ctx context.Context, e Export) (Export, error) {
	id, err := uuid.NewV7() // ascending: inserts stay at one end of the index
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
		Status: Pending, StoredStatus: Pending, IdempotencyKey: storedKey(e.WorkspaceID, e.IdempotencyKey)}
	for {
		var created Export
		err := s.transactFor(ctx, e.WorkspaceID, func(tx *sqlx.Tx) error {
			if created, err = selectEarlier(ctx, tx, wanted, e.IdempotencyKey); !errors.Is(err, ErrNotFound) {
				return err
			}
			if full != nil {
				return full
			}
			created, err = s.insert(ctx, tx, wanted)
			return err
		})
		if !errors.Is(err, sql.ErrNoRows) {
			return created, err
		}
		// A process that is older than the lock has inserted an export with this key.
	}
}

// selectEarlier returns the export with the workspace of wanted and an idempotency key, or ErrNotFound.
func selectEarlier(ctx context.Context, tx *sqlx.Tx, wanted record, key *string) (Export, error) {
	if key == nil {
		return Export{}, ErrNotFound
	}
	// Processes of earlier versions stored the key itself.
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

// insert inserts an export unless its workspace has reached a limit. It returns sql.ErrNoRows if there
// is one with the same key.
func (s *Store) insert(ctx context.Context, tx *sqlx.Tx, wanted record) (Export, error) {
	used, err := selectUsage(ctx, tx, wanted.WorkspaceID)
	if err != nil {
		return Export{}, err
	}
	if limit := s.limits.Unfinished; limit > 0 && used.Unfinished >= limit {
		return Export{}, &LimitError{Limit: LimitUnfinished, Max: int64(limit)}
	}
	if err := s.checkStored(ctx, tx, wanted.WorkspaceID); err != nil {
		return Export{}, err
	}
	// An export never overtakes one that waits, not even when a place is free.
	waits := s.limits.Running > 0 && (used.Running >= s.limits.Running || used.Unfinished > used.Running)
	err = tx.GetContext(ctx, &wanted, `INSERT INTO memexport.exports (id, workspace_id, format, filter, idempotency_key, dispatched_at)
		VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN NULL ELSE now() END)
		ON CONFLICT (workspace_id, idempotency_key) WHERE deleted_at IS NULL DO NOTHING
		RETURNING created_at, updated_at, dispatched_at`,
		wanted.ID, wanted.WorkspaceID, wanted.Format, wanted.Filter, wanted.IdempotencyKey, waits)
	if err != nil {
		return Export{}, fmt.Errorf("insert an export: %w", err)
	}
	return wanted.export()
}
