package apikey

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"
)

// usedEvery is the shortest time between two updates of a key's last use in the database.
const usedEvery = time.Minute

// Lookup returns the key with the given secret. It returns ErrUnknown if there is none, or if the key
// has expired or been revoked. A secret that is not WellFormed causes no query. Any other secret
// causes one query, which uses a unique index.
func (s *Store) Lookup(ctx context.Context, secret string) (Key, error) {
	if !WellFormed(secret) {
		return Key{}, ErrUnknown
	}
	row := s.db.QueryRowContext(ctx, selectKey+`WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`, hash(secret))
	key, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrUnknown
	}
	if err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	if key.LastUsedAt == nil || time.Since(*key.LastUsedAt) > usedEvery {
		s.uses.note(key.ID)
	}
	return key, nil
}

// List returns the keys of a workspace, or of all workspaces if workspaceID is empty. It includes
// expired and revoked keys. Within a workspace, the oldest key comes first.
func (s *Store) List(ctx context.Context, workspaceID string) ([]Key, error) {
	rows, err := s.db.QueryContext(ctx, selectKey+`WHERE $1 IN ('', workspace_id::text) ORDER BY workspace_id, created_at, id`, strings.ToLower(workspaceID))
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		key, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

const selectKey = `SELECT id, workspace_id, name, display, permissions, created_at, last_used_at, expires_at, revoked_at, replaced_by FROM memexport.api_keys `

func scan(row interface{ Scan(...any) error }) (Key, error) {
	var k Key
	var permissions pq.StringArray
	err := row.Scan(&k.ID, &k.WorkspaceID, &k.Name, &k.Display, &permissions, &k.CreatedAt, &k.LastUsedAt, &k.ExpiresAt, &k.RevokedAt, &k.ReplacedBy)
	for _, p := range permissions {
		k.Permissions = append(k.Permissions, Permission(p))
	}
	return k, err
}
