package export

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// dispatched is the SQL condition for an unfinished export that has a place to run, which means that it
// counts toward Limits.Running. A PROCESSING export may lack dispatched_at: a reconciler of an earlier
// version, which does not know the column, may have started it.
const dispatched = `(dispatched_at IS NOT NULL OR status = 'PROCESSING')`

// waiting is the SQL condition for an export that waits for a place to run.
const waiting = `status = 'PENDING' AND dispatched_at IS NULL AND deleted_at IS NULL`

// claimBatch is how many exports one call of Claim returns at most.
const claimBatch = 100

// Claim gives the free places of a workspace to its waiting exports, in the order of their creation,
// and returns these exports. The caller must start their workflows. If the caller crashes before that,
// the reconciler starts the workflows.
//
// If the workspace has reached Limits.WorkspaceBytes, its waiting exports fail instead. If the store
// is full, they go on waiting and Claim returns ErrStoreFull.
func (s *Store) Claim(ctx context.Context, workspaceID string) (claimed []Export, err error) {
	full := s.checkFull(ctx)
	var failed []Export
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
			failed, err = failWaiting(ctx, tx, workspaceID)
			return err
		} else if err != nil {
			return err
		}
		claimed, err = claim(ctx, tx, workspaceID, free)
		return err
	})
	if err == nil {
		for _, e := range failed {
			e.Failure.Cause = "EXPORT_WORKSPACE_STORAGE is reached"
			s.observe(ctx, StepFailed, e)
		}
	}
	return claimed, err
}

// freePlaces returns how many waiting exports of a workspace may start now.
func (s *Store) freePlaces(ctx context.Context, tx *sqlx.Tx, workspaceID string) (int, error) {
	used, err := s.selectUsage(ctx, tx, workspaceID)
	if err != nil {
		return 0, err
	}
	free := min(claimBatch, used.Unfinished-used.Running)
	if s.limits.Running > 0 {
		free = min(free, s.limits.Running-used.Running)
	}
	if s.ByTurns() {
		free = min(free, s.limits.AllRunning-used.AllRunning, 1) // one at a time, because the workspaces take turns
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

// failWaiting makes the waiting exports of a workspace FAILED, because the workspace has reached
// Limits.WorkspaceBytes, and returns these exports.
func failWaiting(ctx context.Context, tx *sqlx.Tx, workspaceID string) ([]Export, error) {
	f := Failures[CodeStorageLimit]
	var records []record
	err := tx.SelectContext(ctx, &records, `UPDATE memexport.exports e SET status = 'FAILED', updated_at = now(), completed_at = now(),
		error_code = $2, error_message = $3, error_retryable = $4 WHERE workspace_id = $1 AND `+waiting+` RETURNING `+recordColumns,
		workspaceID, f.Code, f.Message, f.Retryable)
	if err != nil {
		return nil, fmt.Errorf("fail the waiting exports: %w", err)
	}
	return exportsOf(records)
}

// ByTurns reports whether Limits.AllRunning is set. All workspaces then share this number of places to run,
// and a place that becomes free may go to another workspace: see NextTurn.
func (s *Store) ByTurns() bool { return s.limits.AllRunning > 0 }

// NextTurn returns the workspace that gets the next free place. It chooses from the workspaces that have
// a waiting export and may run it. The workspace with the fewest running exports comes first. If several
// have equally few, the one whose export has waited longest comes first. NextTurn returns "" if no place
// is free or no waiting export may run.
func (s *Store) NextTurn(ctx context.Context) (workspaceID string, err error) {
	err = s.db.GetContext(ctx, &workspaceID, `SELECT workspace_id FROM (
			SELECT workspace_id, count(*) FILTER (WHERE `+dispatched+`) AS running, min(created_at) FILTER (WHERE `+waiting+`) AS since,
				sum(count(*) FILTER (WHERE `+dispatched+`)) OVER () AS all_running
			FROM memexport.exports WHERE status IN ('PENDING', 'PROCESSING') GROUP BY workspace_id) w
		WHERE since IS NOT NULL AND ($1 = 0 OR running < $1) AND all_running < $2 ORDER BY running, since LIMIT 1`,
		s.limits.Running, s.limits.AllRunning)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the workspace whose turn it is: %w", err)
	}
	return workspaceID, nil
}

// WorkspacesWaiting returns the workspaces that have waiting exports. The workspace whose oldest
// export has waited longest comes first.
func (s *Store) WorkspacesWaiting(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.db.SelectContext(ctx, &ids, `SELECT workspace_id FROM memexport.exports WHERE `+waiting+`
		GROUP BY workspace_id ORDER BY min(created_at)`)
	if err != nil {
		return nil, fmt.Errorf("list the workspaces with waiting exports: %w", err)
	}
	return ids, nil
}

// transactFor is like transact, for a transaction that creates or claims exports of a workspace. It
// takes an advisory lock, so that only one such transaction per workspace runs at a time, across all
// processes. Otherwise two transactions could both see the last free place to run that the workspace has,
// and both use it.
func (s *Store) transactFor(ctx context.Context, workspaceID string, do func(*sqlx.Tx) error) error {
	done, err := s.turns.take(ctx, workspaceID)
	if err != nil {
		return err
	}
	defer done()
	return s.transact(ctx, func(tx *sqlx.Tx) error {
		// The first number distinguishes these locks from the advisory locks of other applications.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(1835363448, hashtext($1))`, workspaceID); err != nil {
			return fmt.Errorf("lock a workspace: %w", err)
		}
		return do(tx)
	})
}
