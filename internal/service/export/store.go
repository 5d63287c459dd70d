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

// Store keeps exports in the schema memexport. It is safe for concurrent use.
type Store struct{ db *sqlx.DB }

// NewStore returns a store that uses db. postgres.Migrate creates the schema.
func NewStore(db *sqlx.DB) *Store { return &Store{db} }

// Create inserts a PENDING export with the workspace, format, filter and idempotency key of e. Only a
// digest of the key is stored. If the workspace has an export with that key, Create returns that one,
// or ErrKeyReused if its format or filter differs. The filter of a purged export is erased, so that
// Create returns it without comparing anything.
func (s *Store) Create(ctx context.Context, e Export) (Export, error) {
	id, err := uuid.NewV7() // ascending: inserts stay at one end of the index
	if err != nil {
		return Export{}, err
	}
	filter, err := json.Marshal(e.Filter)
	if err != nil {
		return Export{}, err
	}
	const insert = `INSERT INTO memexport.exports (id, workspace_id, format, filter, idempotency_key) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (workspace_id, idempotency_key) WHERE deleted_at IS NULL DO NOTHING`
	for {
		earlier, err := s.selectEarlier(ctx, e)
		if !errors.Is(err, ErrNotFound) {
			return earlier, err
		}
		result, err := s.db.ExecContext(ctx, insert, id, e.WorkspaceID, e.Format, filter, storedKey(e.WorkspaceID, e.IdempotencyKey))
		if err != nil {
			return Export{}, fmt.Errorf("insert an export: %w", err)
		}
		if inserted, err := result.RowsAffected(); err != nil {
			return Export{}, err
		} else if inserted == 1 {
			return s.Get(ctx, e.WorkspaceID, id.String())
		}
		// Another request has just inserted an export with this key.
	}
}

// selectEarlier returns the export with the workspace and idempotency key of wanted, or ErrNotFound.
func (s *Store) selectEarlier(ctx context.Context, wanted Export) (Export, error) {
	if wanted.IdempotencyKey == nil {
		return Export{}, ErrNotFound
	}
	// Processes of earlier versions stored the key itself.
	earlier, err := s.selectOne(ctx, `WHERE workspace_id = $1 AND idempotency_key IN ($2, $3) AND deleted_at IS NULL`,
		wanted.WorkspaceID, storedKey(wanted.WorkspaceID, wanted.IdempotencyKey), wanted.IdempotencyKey)
	if err != nil || earlier.PurgedAt != nil {
		return earlier, err
	}
	filter, err := json.Marshal(wanted.Filter)
	if err != nil {
		return Export{}, err
	}
	earlierFilter, err := json.Marshal(earlier.Filter)
	if err != nil {
		return Export{}, err
	}
	if earlier.Format != wanted.Format || string(earlierFilter) != string(filter) {
		return Export{}, ErrKeyReused
	}
	return earlier, nil
}

// Get returns an export of a workspace. It returns ErrNotFound for an id that is unknown or not a
// UUID, and for an export that was deleted or belongs to another workspace: the caller cannot tell
// these apart.
func (s *Store) Get(ctx context.Context, workspaceID, id string) (Export, error) {
	if !rowid.Valid(id) {
		return Export{}, ErrNotFound
	}
	return s.selectOne(ctx, `WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL`, id, workspaceID)
}

// Find returns an export of any workspace, even if it was deleted. It is meant for activities, which
// work for the service and not for a caller.
func (s *Store) Find(ctx context.Context, id string) (Export, error) {
	if !rowid.Valid(id) {
		return Export{}, ErrNotFound
	}
	return s.selectOne(ctx, `WHERE id = $1`, id)
}

func (s *Store) selectOne(ctx context.Context, where string, args ...any) (Export, error) {
	var r record
	err := s.db.GetContext(ctx, &r, selectRecord+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return Export{}, ErrNotFound
	}
	if err != nil {
		return Export{}, fmt.Errorf("read an export: %w", err)
	}
	return r.export()
}

// List returns a page of a workspace's exports, newest first, and the number of all its exports. The
// first page is 1.
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

// Delete hides an export from its workspace. Its objects remain until they are purged. It returns
// ErrNotFound in the same cases as Get.
func (s *Store) Delete(ctx context.Context, workspaceID, id string) error {
	if !rowid.Valid(id) {
		return ErrNotFound
	}
	result, err := s.db.ExecContext(ctx, `UPDATE memexport.exports SET deleted_at = now(), updated_at = now()
		WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL`, id, workspaceID)
	if err != nil {
		return fmt.Errorf("delete an export: %w", err)
	}
	return oneChanged(result, ErrNotFound)
}

// oneChanged returns missed if the statement changed no row.
func oneChanged(result sql.Result, missed error) error {
	changed, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if changed == 0 {
		return missed
	}
	return nil
}
