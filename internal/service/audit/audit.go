// Package audit records who did what to which export, and reads these records. The table is
// append-only: a trigger refuses every update, and every delete that does not come from this package.
package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Action is what somebody did.
type Action string

// These are all the actions that are recorded. An action never changes its meaning.
const (
	Create   Action = "export.create"   // a POST that was accepted, even if it repeats an earlier one
	Read     Action = "export.read"     // a GET or HEAD of an export; only the first per key and hour is recorded
	List     Action = "export.list"     // a list of exports; only the first per key and hour is recorded
	Download Action = "export.download" // a GET of the file, or of a part of it
	Delete   Action = "export.delete"
	Erase    Action = "workspace.erase" // `memexport workspaces erase`

	// A trigger on the table of keys records these.
	KeyCreate Action = "key.create"
	KeyRotate Action = "key.rotate" // the key was replaced; a KeyCreate event records the new key
	KeyRevoke Action = "key.revoke"
	KeyDelete Action = "key.delete" // an erasure of the workspace deleted the key
)

// Actions lists every action.
var Actions = []Action{Create, Read, List, Download, Delete, Erase, KeyCreate, KeyRotate, KeyRevoke, KeyDelete}

// Event says who did what and when. It contains ids, but no filter and no memory.
type Event struct {
	ID          int64     `json:"id" db:"id"` // ascending, with gaps
	At          time.Time `json:"at" db:"at"`
	Action      Action    `json:"action" db:"action"`
	WorkspaceID string    `json:"workspace_id" db:"workspace_id"`
	KeyID       string    `json:"key_id,omitempty" db:"key_id"`       // the id of the caller's API key, or "token:" and a hash of the token's subject; for key.* the id of the key that was changed
	ExportID    string    `json:"export_id,omitempty" db:"export_id"` // empty if the action is not about one export
	Address     string    `json:"address,omitempty" db:"address"`     // IP address of the caller; empty if it is not known
	Operator    string    `json:"operator,omitempty" db:"operator"`   // the operator's role in Postgres; empty if a request did it
	RequestID   string    `json:"request_id,omitempty" db:"request_id"`
}

// Store keeps events in the schema memexport. It is safe for concurrent use.
type Store struct{ db *sqlx.DB }

// NewStore returns a store that uses db. postgres.Migrate creates the schema.
func NewStore(db *sqlx.DB) *Store { return &Store{db: db} }

// Record appends an event of a request. The database sets its id and time, and Operator stays empty.
func (s *Store) Record(ctx context.Context, e Event) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO memexport.audit (action, workspace_id, key_id, export_id, address, request_id)
		VALUES ($1, $2, nullif($3, ''), nullif($4, '')::uuid, $5, $6)`,
		e.Action, e.WorkspaceID, e.KeyID, e.ExportID, e.Address, e.RequestID)
	if err != nil {
		return fmt.Errorf("record an audit event: %w", err)
	}
	return nil
}

// RecordErase appends the event that an operator has erased a workspace.
func (s *Store) RecordErase(ctx context.Context, workspaceID string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO memexport.audit (action, workspace_id, address, request_id, operator)
		VALUES ($1, $2, coalesce(host(inet_client_addr()), ''), '', session_user)`, Erase, workspaceID)
	if err != nil {
		return fmt.Errorf("record an audit event: %w", err)
	}
	return nil
}

// Query selects events. A field with its zero value does not restrict the selection.
type Query struct {
	WorkspaceID, KeyID, ExportID string
	Action                       Action
	Since, Until                 time.Time // Since is inclusive, Until exclusive
}

// Each calls visit for every event that q selects, the oldest first. If visit returns an error, Each
// stops and returns that error.
func (s *Store) Each(ctx context.Context, q Query, visit func(Event) error) error {
	where, args := `true`, []any{}
	and := func(condition string, value any) {
		args = append(args, value)
		where += fmt.Sprintf(" AND %s $%d", condition, len(args))
	}
	if q.WorkspaceID != "" {
		and("workspace_id =", q.WorkspaceID)
	}
	if q.KeyID != "" {
		and("key_id =", q.KeyID)
	}
	if q.ExportID != "" {
		and("export_id =", q.ExportID)
	}
	if q.Action != "" {
		and("action =", q.Action)
	}
	if !q.Since.IsZero() {
		and("at >=", q.Since)
	}
	if !q.Until.IsZero() {
		and("at <", q.Until)
	}
	query := `SELECT id, at, action, workspace_id, coalesce(key_id, '') AS key_id, coalesce(export_id::text, '') AS export_id,
		address, request_id, coalesce(operator, '') AS operator FROM memexport.audit WHERE ` + where + ` ORDER BY at, id`
	rows, err := s.db.QueryxContext(ctx, query, args...) //nolint:sqlclosecheck // the linter does not see the deferred Close of sqlx's rows
	if err != nil {
		return fmt.Errorf("read the audit events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Event
		if err := rows.StructScan(&e); err != nil {
			return fmt.Errorf("read the audit events: %w", err)
		}
		e.At = e.At.UTC()
		if err := visit(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// DeleteOld deletes up to limit events that are older than age, the oldest first. It returns the
// number of deleted events.
func (s *Store) DeleteOld(ctx context.Context, age time.Duration, limit int) (int, error) {
	return s.delete(ctx, `id IN (SELECT id FROM memexport.audit WHERE at < now() - $1 * interval '1 microsecond' ORDER BY at LIMIT $2)`,
		age.Microseconds(), limit)
}

// DeleteWorkspace deletes the events of a workspace. It returns the number of deleted events.
func (s *Store) DeleteWorkspace(ctx context.Context, workspaceID string) (int, error) {
	return s.delete(ctx, `workspace_id = $1`, workspaceID)
}

// delete deletes the events that a condition selects. It sets a variable that makes the trigger allow
// deletes in this transaction.
func (s *Store) delete(ctx context.Context, where string, args ...any) (int, error) {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("delete audit events: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	if _, err := tx.ExecContext(ctx, `SELECT set_config('memexport.audit_delete', 'on', true)`); err != nil {
		return 0, fmt.Errorf("delete audit events: %w", err)
	}
	result, err := tx.ExecContext(ctx, `DELETE FROM memexport.audit WHERE `+where, args...)
	if err != nil {
		return 0, fmt.Errorf("delete audit events: %w", err)
	}
	deleted, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	return int(deleted), tx.Commit()
}
