package export

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// Limits bound what a workspace may use. A field that is 0 sets no bound.
type Limits struct {
	// Running is how many exports of a workspace may run at the same time. Further exports wait and
	// start in the order of their creation.
	Running int
	// AllRunning is how many exports of all workspaces together may run at the same time. Further exports
	// wait, and the workspaces take turns. If several workspaces start exports at the same instant, each of
	// them may exceed the limit by one export.
	AllRunning int
	// Unfinished is how many exports of a workspace may run or wait. Once this number is reached,
	// Create refuses more exports.
	Unfinished int
	// WorkspaceBytes is how many bytes a workspace may have stored. Once it is reached, Create
	// refuses more exports, and waiting exports fail. Running exports are not stopped.
	WorkspaceBytes int64
	// Bytes is how many bytes all workspaces together may have stored. Once it is reached, the store
	// counts as full.
	Bytes int64
}

// Limit names the field of Limits that a workspace has reached.
type Limit string

// The limits that Create enforces for each workspace.
const (
	LimitUnfinished Limit = "unfinished-exports"
	LimitStored     Limit = "stored-bytes"
)

// LimitError says that a workspace has reached one of its limits.
type LimitError struct {
	Limit Limit
	Max   int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the workspace has reached its limit of %d %s", e.Max, e.Limit)
}

// ErrStoreFull means that the object store has no room, or that Limits.Bytes is reached.
var ErrStoreFull = errors.New("the object store is full")

// WithLimits returns a store for the same database that enforces limits. Every process must use the
// same limits.
func (s *Store) WithLimits(limits Limits) *Store {
	return &Store{db: s.db, limits: limits, observer: s.observer}
}

// usage counts the unfinished exports of a workspace.
type usage struct {
	Running    int `db:"running"`     // exports that have a place to run, including deleted ones that have not stopped yet
	Unfinished int `db:"unfinished"`  // the running exports, and the waiting exports that have not been deleted
	AllRunning int `db:"all_running"` // the running exports of all workspaces; 0 if Limits.AllRunning is 0
}

func (s *Store) selectUsage(ctx context.Context, tx *sqlx.Tx, workspaceID string) (usage, error) {
	var u usage
	err := tx.GetContext(ctx, &u, `SELECT count(*) FILTER (WHERE `+dispatched+`) AS running,
		count(*) FILTER (WHERE `+dispatched+` OR deleted_at IS NULL) AS unfinished,
		CASE WHEN $2 THEN (SELECT count(*) FROM memexport.exports WHERE status IN ('PENDING', 'PROCESSING') AND `+dispatched+`) ELSE 0 END AS all_running
		FROM memexport.exports WHERE workspace_id = $1 AND status IN ('PENDING', 'PROCESSING')`, workspaceID, s.ByTurns())
	if err != nil {
		return u, fmt.Errorf("count the unfinished exports: %w", err)
	}
	return u, nil
}

// partBytes is the SQL expression for the size of a part's object.
const partBytes = `CASE WHEN compressed_size > 0 THEN compressed_size ELSE size END`

// selectStored returns the bytes that a workspace has stored, including the parts that its running
// exports have written so far.
func selectStored(ctx context.Context, q sqlx.QueryerContext, workspaceID string) (int64, error) {
	return storedWhere(ctx, q, `workspace_id = $1 AND`, workspaceID)
}

// selectAllStored returns the bytes that all workspaces have stored.
func selectAllStored(ctx context.Context, q sqlx.QueryerContext) (int64, error) {
	return storedWhere(ctx, q, ``)
}

func storedWhere(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (int64, error) {
	var bytes int64
	err := sqlx.GetContext(ctx, q, &bytes, `SELECT
		(SELECT coalesce(sum(coalesce(stored_bytes, size_bytes)), 0)::bigint FROM memexport.exports
			WHERE `+where+` purged_at IS NULL) +
		(SELECT coalesce(sum(`+partBytes+`), 0)::bigint FROM memexport.export_parts JOIN memexport.exports e ON e.id = export_id
			WHERE `+where+` status = 'PROCESSING')`, args...)
	if err != nil {
		return 0, fmt.Errorf("sum the stored bytes: %w", err)
	}
	return bytes, nil
}

// checkStored returns a LimitError if the workspace has reached Limits.WorkspaceBytes.
func (s *Store) checkStored(ctx context.Context, tx *sqlx.Tx, workspaceID string) error {
	if s.limits.WorkspaceBytes == 0 {
		return nil
	}
	stored, err := selectStored(ctx, tx, workspaceID)
	if err == nil && stored >= s.limits.WorkspaceBytes {
		err = &LimitError{Limit: LimitStored, Max: s.limits.WorkspaceBytes}
	}
	return err
}

const (
	// fullLasts is how long the store counts as full after a write has failed for lack of room. It is
	// twice the longest wait between two attempts, so that the store still counts as full when the next
	// attempt fails.
	fullLasts = 2 * time.Minute
	// fullCached is how long a process uses the result of its last check whether the store is full.
	fullCached = 5 * time.Second
)

// fullness caches whether the store is full.
type fullness struct {
	looking sync.Mutex
	until   time.Time // when the cached answer expires; guarded by looking
	full    atomic.Bool
}

// checkFull returns ErrStoreFull if the store is full. It caches the answer of the database for
// fullCached. While one caller queries the database, the others use the cached answer and do not
// wait.
func (s *Store) checkFull(ctx context.Context) error {
	f := &s.fullness
	if f.looking.TryLock() {
		defer f.looking.Unlock()
		if time.Now().After(f.until) {
			full, err := s.full(ctx)
			if err != nil {
				return err
			}
			f.full.Store(full)
			f.until = time.Now().Add(fullCached)
		}
	}
	if f.full.Load() {
		return ErrStoreFull
	}
	return nil
}

func (s *Store) full(ctx context.Context) (bool, error) {
	var full bool
	err := s.db.GetContext(ctx, &full, `SELECT EXISTS (SELECT FROM memexport.exports
		WHERE status IN ('PENDING', 'PROCESSING') AND store_full_at > now() - $1 * interval '1 microsecond')`, fullLasts.Microseconds())
	if err != nil {
		return false, fmt.Errorf("ask whether the store is full: %w", err)
	}
	if full || s.limits.Bytes == 0 {
		return full, nil
	}
	stored, err := selectAllStored(ctx, s.db)
	return stored >= s.limits.Bytes, err
}

// StoreFull records that an export cannot go on because the store has no room. Create then refuses new
// exports until the export has finished, or until fullLasts has passed since the last call.
func (s *Store) StoreFull(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE memexport.exports SET store_full_at = now() WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("record that the store is full: %w", err)
	}
	return nil
}
