package export

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// dispatched is the SQL condition for an unfinished export that has a place to run. A PROCESSING one has
// no dispatched_at if a reconciler that is older than the column has started it.
const dispatched = `(dispatched_at IS NOT NULL OR status = 'PROCESSING')`

// waiting is the SQL condition for an export that waits for a place to run.
const waiting = `status = 'PENDING' AND dispatched_at IS NULL AND deleted_at IS NULL`

// claimBatch bounds the exports that one call of Claim returns, for Limits without a bound.
const claimBatch = 100

// Claim gives the free places of a workspace to its exports that wait, in the order of their creation,
// and returns these exports. The caller must start their workflows; the reconciler starts those that a
// crash has prevented.
//
// If the workspace has stored as much as it may, its waiting exports fail instead. While the store is
// full, they go on waiting and Claim returns ErrStoreFull.
func (s *Store) Claim(ctx context.Context, workspaceID string) (claimed []Export, err error) {
	full := s.checkFull(ctx)
	err = s.transactFor(ctx, workspaceID, func(tx *sqlx.Tx) error {
		free, err := s.freePlaces(ctx, tx, workspaceID)
		if err != nil || free == 0 {
			return err
		}
		if full != nil {
			return full
		}
		var limit *LimitError
		if err := s.checkStored(ctx, tx, workspaceID); errors.As(err, &limit) {
			return failWaiting(ctx, tx, workspaceID)
		} else if err != nil {
			return err
		}
		claimed, err = claim(ctx, tx, workspaceID, free)
		return err
	})
	return claimed, err
}

// freePlaces returns how many waiting exports of a workspace can run.
func (s *Store) freePlaces(ctx context.Context, tx *sqlx.Tx, workspaceID string) (int, error) {
	used, err := selectUsage(ctx, tx, workspaceID)
	if err != nil {
		return 0, err
	}
	free := min(claimBatch, used.Unfinished-used.Running)
	if s.limits.Running > 0 {
		free = min(free, s.limits.Running-used.Running)
	}
	return max(0, free), nil
}

func claim(ctx context.Context, tx *sqlx.Tx, workspaceID string, places int) ([]Export, error) {
	var ids []string
	err := tx.SelectContext(ctx, &ids, `UPDATE memexport.exports SET dispatched_at = now() WHERE id IN
		(SELECT id FROM memexport.exports WHERE workspace_id = $1 AND `+waiting+` ORDER BY created_at, id LIMIT $2)
		RETURNING id`, workspaceID, places)
	if err != nil {
		return nil, fmt.Errorf("claim exports: %w", err)
	}
	var records []record
	err = tx.SelectContext(ctx, &records, selectRecord+`WHERE id = ANY($1) ORDER BY created_at, id`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("read the claimed exports: %w", err)
	}
	return exportsOf(records)
}

// failWaiting makes the waiting exports of a workspace FAILED, because it has stored as much as it may.
func failWaiting(ctx context.Context, tx *sqlx.Tx, workspaceID string) error {
	f := Failures[CodeStorageLimit]
	_, err := tx.ExecContext(ctx, `UPDATE memexport.exports SET status = 'FAILED', updated_at = now(), completed_at = now(),
		error_code = $2, error_message = $3, error_retryable = $4 WHERE workspace_id = $1 AND `+waiting,
		workspaceID, f.Code, f.Message, f.Retryable)
	if err != nil {
		return fmt.Errorf("fail the waiting exports: %w", err)
	}
	return nil
}

// WorkspacesWaiting returns the workspaces that have waiting exports, the one that has waited for the
// longest time first.
func (s *Store) WorkspacesWaiting(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.db.SelectContext(ctx, &ids, `SELECT workspace_id FROM memexport.exports WHERE `+waiting+`
		GROUP BY workspace_id ORDER BY min(created_at)`)
	if err != nil {
		return nil, fmt.Errorf("list the workspaces with waiting exports: %w", err)
	}
	return ids, nil
}

// transactFor is transact for a transaction that creates or claims exports of a workspace. Only one of
// them runs at a time, in all processes, so that together they never give away more places than there
// are.
func (s *Store) transactFor(ctx context.Context, workspaceID string, do func(*sqlx.Tx) error) error {
	done, err := s.turns.take(ctx, workspaceID)
	if err != nil {
		return err
	}
	defer done()
	return s.transact(ctx, func(tx *sqlx.Tx) error {
		// The first number sets these locks apart from those of other applications in the database.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(1835363448, hashtext($1))`, workspaceID); err != nil {
			return fmt.Errorf("lock a workspace: %w", err)
		}
		return do(tx)
	})
}
