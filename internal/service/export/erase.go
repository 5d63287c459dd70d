package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// storedKey returns a digest of an idempotency key and its workspace. The database stores the digest
// instead of the key, because a client may choose a key that names a person.
func storedKey(workspaceID string, key *string) *string {
	if key == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.ToLower(workspaceID) + " " + *key))
	stored := "sha256:" + hex.EncodeToString(sum[:])
	return &stored
}

// erasure holds the SQL assignments that erase personal data from a row. Earlier versions stored the
// idempotency key itself. The assignment replaces such a key with the digest that storedKey returns,
// so that a repeated request still finds its export and does not create a second one.
const erasure = `filter = '{}', idempotency_key = CASE WHEN idempotency_key LIKE 'sha256:%' THEN idempotency_key
	ELSE 'sha256:' || encode(sha256(convert_to(workspace_id::text || ' ' || idempotency_key, 'UTF8')), 'hex') END`

// ErasePurged erases personal data from up to limit rows that were purged by a worker of an earlier
// version, which did not erase this data. It returns the number of rows.
func (s *Store) ErasePurged(ctx context.Context, limit int) (int, error) {
	return s.change(ctx, "erase purged exports", `UPDATE memexport.exports SET `+erasure+` WHERE id IN (
		SELECT id FROM memexport.exports WHERE purged_at IS NOT NULL AND filter <> '{}' LIMIT $1 FOR UPDATE SKIP LOCKED)`, limit)
}

// DeleteHistory deletes up to limit rows of exports that were purged longer than age ago. It returns
// the number of deleted rows.
func (s *Store) DeleteHistory(ctx context.Context, age time.Duration, limit int) (int, error) {
	return s.change(ctx, "delete old exports", `DELETE FROM memexport.exports WHERE id IN (
		SELECT id FROM memexport.exports WHERE purged_at < now() - $1 * interval '1 microsecond'
		ORDER BY purged_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, age.Microseconds(), limit)
}

// HideWorkspace marks every export of a workspace as deleted, as if a client had deleted each of
// them.
func (s *Store) HideWorkspace(ctx context.Context, workspaceID string) error {
	_, err := s.change(ctx, "hide the exports of a workspace", `UPDATE memexport.exports SET deleted_at = now(), updated_at = now()
		WHERE workspace_id = $1 AND deleted_at IS NULL`, workspaceID)
	return err
}

// OfWorkspace returns up to limit exports of a workspace whose id is greater than after, in the order of
// their ids. It includes deleted exports.
func (s *Store) OfWorkspace(ctx context.Context, workspaceID, after string, limit int) ([]Export, error) {
	var records []record
	err := s.db.SelectContext(ctx, &records, selectRecord+`WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3`, workspaceID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list the exports of a workspace: %w", err)
	}
	return exportsOf(records)
}

// Remove deletes the row of an export, with its ranges and parts. Delete the export's objects first:
// only the row says which workspace they belong to. Remove does nothing if there is no such row.
func (s *Store) Remove(ctx context.Context, id string) error {
	_, err := s.change(ctx, "remove an export", `DELETE FROM memexport.exports WHERE id = $1`, id)
	return err
}

// change runs a statement and returns how many rows it changed.
func (s *Store) change(ctx context.Context, what, statement string, args ...any) (int, error) {
	result, err := s.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	changed, err := result.RowsAffected()
	return int(changed), err
}
