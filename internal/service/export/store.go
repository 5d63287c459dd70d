package export

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/rowid"
)

// Store keeps exports in the schema memexport. It is safe for concurrent use.
type Store struct {
	db       *sqlx.DB
	limits   Limits
	observer Observer // may be nil
	fullness fullness
	turns    turns // serializes callers by workspace id
}

// NewStore returns a store that uses db and enforces no limits. postgres.Migrate creates the schema.
func NewStore(db *sqlx.DB) *Store { return &Store{db: db} }

// Get returns an export of a workspace. It returns ErrNotFound for an id that is unknown or not a
// UUID, and for an export that was deleted or belongs to another workspace: the caller cannot tell
// these apart.
func (s *Store) Get(ctx context.Context, workspaceID, id string) (Export, error) {
	if !rowid.Valid(id) {
		return Export{}, ErrNotFound
	}
	return selectOne(ctx, s.db, `WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL`, id, workspaceID)
}

// Find returns an export of any workspace, even if it was deleted. It is meant for activities, which
// work for the service and not for a caller.
func (s *Store) Find(ctx context.Context, id string) (Export, error) {
	if !rowid.Valid(id) {
		return Export{}, ErrNotFound
	}
	return selectOne(ctx, s.db, `WHERE id = $1`, id)
}

func selectOne(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (Export, error) {
	var r record
	err := sqlx.GetContext(ctx, q, &r, selectRecord+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return Export{}, ErrNotFound
	}
	if err != nil {
		return Export{}, fmt.Errorf("read an export: %w", err)
	}
	return r.export()
}

// List returns a page of a workspace's exports, newest first, and the number of all exports of the
// workspace. The first page is 1.
func (s *Store) List(ctx context.Context, workspaceID string, page, pageSize int) ([]Export, int, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, 0, fmt.Errorf("list exports: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	var total int
	err = tx.GetContext(ctx, &total, `SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND deleted_at IS NULL`, workspaceID)
	if err != nil {
		return nil, 0, fmt.Errorf("count exports: %w", err)
	}
	var records []record
	err = tx.SelectContext(ctx, &records, selectRecord+`WHERE workspace_id = $1 AND deleted_at IS NULL
		ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3`, workspaceID, pageSize, int64(page-1)*int64(pageSize))
	if err != nil {
		return nil, 0, fmt.Errorf("list exports: %w", err)
	}
	exports, err := exportsOf(records)
	return exports, total, err
}

// Delete hides an export from its workspace. The export's objects remain until they are purged. Delete
// returns ErrNotFound in the same cases as Get.
func (s *Store) Delete(ctx context.Context, workspaceID, id string) error {
	if !rowid.Valid(id) {
		return ErrNotFound
	}
	deleted, err := updateOne(ctx, s.db, `deleted_at = now(), updated_at = now()
		WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL`, id, workspaceID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete an export: %w", err)
	}
	s.observe(ctx, StepDeleted, deleted)
	return nil
}

// updateOne changes one row and returns the changed export. set holds SQL assignments and a WHERE clause.
// updateOne returns sql.ErrNoRows if the clause selects no row.
func updateOne(ctx context.Context, q sqlx.QueryerContext, set string, args ...any) (Export, error) {
	var r record
	if err := sqlx.GetContext(ctx, q, &r, `UPDATE memexport.exports e SET `+set+` RETURNING `+recordColumns, args...); err != nil {
		return Export{}, err
	}
	return r.export()
}
