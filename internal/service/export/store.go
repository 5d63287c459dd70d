package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/rowid"
)

// Store keeps exports in the schema memexport. It is safe for concurrent use.
type Store struct{ db *sqlx.DB }

// NewStore returns a store that uses db. postgres.Migrate creates the schema.
func NewStore(db *sqlx.DB) *Store { return &Store{db} }

// record is a row that selectRecord returns.
type record struct {
	ID             string     `db:"id"`
	WorkspaceID    string     `db:"workspace_id"`
	Format         string     `db:"format"`
	Filter         []byte     `db:"filter"`
	Status         Status     `db:"status"`
	StoredStatus   Status     `db:"stored_status"`
	IdempotencyKey *string    `db:"idempotency_key"`
	CreatedAt      time.Time  `db:"created_at"`
	UpdatedAt      time.Time  `db:"updated_at"`
	StartedAt      *time.Time `db:"started_at"`
	CompletedAt    *time.Time `db:"completed_at"`
	ExpiresAt      *time.Time `db:"expires_at"`
	PurgedAt       *time.Time `db:"purged_at"`
	DeletedAt      *time.Time `db:"deleted_at"`
	Estimate       *int64     `db:"estimate"`
	MemoryCount    int64      `db:"memory_count"`
	SizeBytes      *int64     `db:"size_bytes"`
	SHA256         *string    `db:"sha256"`
	FileObject     *string    `db:"file_object"`
	Progress       int        `db:"progress"`
	ErrorCode      *string    `db:"error_code"`
	ErrorMessage   *string    `db:"error_message"`
	ErrorRetryable *bool      `db:"error_retryable"`
}

// selectRecord reads exports. The database's clock decides whether an export is EXPIRED, so that a
// late worker makes no difference. The count of a PROCESSING export is the sum over its parts.
const selectRecord = `SELECT id, workspace_id, format, filter, status AS stored_status, idempotency_key, created_at, updated_at,
	started_at, completed_at, expires_at, purged_at, deleted_at, estimate, size_bytes, sha256, file_object, progress,
	error_code, error_message, error_retryable,
	CASE WHEN status = 'READY' AND expires_at <= now() THEN 'EXPIRED' ELSE status END AS status,
	CASE WHEN status = 'PROCESSING' THEN
		(SELECT coalesce(sum(memories), 0)::bigint FROM memexport.export_parts p WHERE p.export_id = e.id)
	ELSE coalesce(memory_count, 0) END AS memory_count
	FROM memexport.exports e `

func (r *record) export() (Export, error) {
	e := Export{
		ID: r.ID, WorkspaceID: r.WorkspaceID, Format: r.Format,
		Status: r.Status, StoredStatus: r.StoredStatus, IdempotencyKey: r.IdempotencyKey,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), StartedAt: utc(r.StartedAt), CompletedAt: utc(r.CompletedAt),
		ExpiresAt: utc(r.ExpiresAt), PurgedAt: utc(r.PurgedAt), DeletedAt: utc(r.DeletedAt),
		MemoryCount: r.MemoryCount, SizeBytes: r.SizeBytes, SHA256: r.SHA256, FileObject: r.FileObject, Progress: r.Progress,
	}
	if err := json.Unmarshal(r.Filter, &e.Filter); err != nil {
		return e, fmt.Errorf("the filter of export %s: %w", r.ID, err)
	}
	if r.Status == Processing {
		e.Progress = progress(r.MemoryCount, r.Estimate)
	}
	if r.ErrorCode != nil {
		e.Failure = &Failure{Code: *r.ErrorCode, Message: *r.ErrorMessage, Retryable: *r.ErrorRetryable}
	}
	return e, nil
}

// exportsOf converts records to exports, in the same order.
func exportsOf(records []record) ([]Export, error) {
	exports := make([]Export, len(records))
	for i := range records {
		var err error
		if exports[i], err = records[i].export(); err != nil {
			return nil, err
		}
	}
	return exports, nil
}

// progress returns the percentage of the estimate that has been written. It stays below 100 until the
// export is READY: the estimate may be too low, and the file must still be verified.
func progress(written int64, estimate *int64) int {
	if estimate == nil || *estimate == 0 {
		return 0
	}
	return int(min(99, 100*written / *estimate))
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// Create inserts a PENDING export with the workspace, format, filter and idempotency key of e. If the
// workspace has an export with that key, Create returns that one, or ErrKeyReused if its format or
// filter differs.
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
	const byKey = `WHERE workspace_id = $1 AND idempotency_key = $2 AND deleted_at IS NULL`
	for {
		result, err := s.db.ExecContext(ctx, insert, id, e.WorkspaceID, e.Format, filter, e.IdempotencyKey)
		if err != nil {
			return Export{}, fmt.Errorf("insert an export: %w", err)
		}
		if inserted, err := result.RowsAffected(); err != nil {
			return Export{}, err
		} else if inserted == 1 {
			return s.Get(ctx, e.WorkspaceID, id.String())
		}
		earlier, err := s.selectOne(ctx, byKey, e.WorkspaceID, e.IdempotencyKey)
		if errors.Is(err, ErrNotFound) {
			continue // the earlier export has just been deleted: its key is free again
		}
		if err != nil {
			return Export{}, err
		}
		earlierFilter, err := json.Marshal(earlier.Filter)
		if err != nil {
			return Export{}, err
		}
		if earlier.Format != e.Format || string(earlierFilter) != string(filter) {
			return Export{}, ErrKeyReused
		}
		return earlier, nil
	}
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
