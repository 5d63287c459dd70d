package apikey

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"memexport/internal/service/rowid"
)

// Replaced is the error of Rotate for a key that has been rotated before.
type Replaced struct {
	By string // the ID of the key that replaced it
}

func (r *Replaced) Error() string { return "the key has been replaced by the key " + r.By + " already" }

// Rotate creates a key that replaces the valid key with the given ID, and returns the new key's
// secret. The new key has the same workspace, name, prefix and permissions. It expires at expiresAt.
// If expiresAt is nil, the new key gets the lifetime that the old key had at its creation. The old
// key stays valid for the overlap, unless it expires earlier. The two keys have different IDs, so the
// last use of the old key shows whether a client still uses it.
//
// Rotate returns ErrUnknown if there is no valid key with this ID, and *Replaced if the key has been
// rotated before.
func (s *Store) Rotate(ctx context.Context, id string, overlap time.Duration, expiresAt *time.Time) (secret string, key Key, err error) {
	if overlap < 0 {
		return "", Key{}, fmt.Errorf("the overlap %s is negative", overlap)
	}
	if err := checkExpiry(expiresAt); err != nil {
		return "", Key{}, err
	}
	if !rowid.Valid(id) {
		return "", Key{}, ErrUnknown
	}
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return "", Key{}, fmt.Errorf("rotate a key: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	// FOR UPDATE makes a concurrent rotation of the same key wait for this rotation. The other rotation
	// then finds that the key has been replaced.
	old, err := scan(tx.QueryRowContext(ctx, selectKey+`WHERE id = $1 FOR UPDATE`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return "", Key{}, ErrUnknown
	}
	if err != nil {
		return "", Key{}, fmt.Errorf("rotate a key: %w", err)
	}
	now := time.Now()
	switch state := old.State(now); {
	case old.ReplacedBy != nil:
		return "", Key{}, &Replaced{By: *old.ReplacedBy}
	case state != "valid":
		return "", Key{}, ErrUnknown
	}
	if expiresAt == nil && old.ExpiresAt != nil {
		sameLifetime := now.Add(old.ExpiresAt.Sub(old.CreatedAt))
		expiresAt = &sameLifetime
	}
	replacement := Key{WorkspaceID: old.WorkspaceID, Name: old.Name, Permissions: old.Permissions, ExpiresAt: expiresAt}
	if secret, key, err = insert(ctx, tx, replacement, old.Display[:len(LivePrefix)]); err != nil {
		return "", Key{}, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE memexport.api_keys SET replaced_by = $2,
		expires_at = least(expires_at, now() + make_interval(secs => $3)) WHERE id = $1`, id, key.ID, overlap.Seconds())
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return "", Key{}, fmt.Errorf("rotate a key: %w", err)
	}
	return secret, key, nil
}

// Revoke makes the key with the given ID invalid. All processes refuse it from the next request on.
// The old and the new key of a rotation must be revoked separately. Revoke returns ErrUnknown if there
// is no such key, or if the key has been revoked before.
func (s *Store) Revoke(ctx context.Context, id string) error {
	if !rowid.Valid(id) {
		return ErrUnknown
	}
	result, err := s.db.ExecContext(ctx, `UPDATE memexport.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`, id)
	if err != nil {
		return fmt.Errorf("revoke a key: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrUnknown)
	}
	return nil
}

// DeleteWorkspace deletes all keys of a workspace, including revoked ones. All processes refuse them
// from the next request on.
func (s *Store) DeleteWorkspace(ctx context.Context, workspaceID string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM memexport.api_keys WHERE workspace_id = $1`, workspaceID); err != nil {
		return fmt.Errorf("delete the keys of a workspace: %w", err)
	}
	return nil
}
