// Package apikey mints, looks up and revokes the keys that callers authenticate with. A key belongs
// to one workspace; only its hash is kept.
package apikey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Permission is something that a key may be used for.
type Permission string

const (
	ReadExports  Permission = "export.read"
	WriteExports Permission = "export.write"
)

// Permissions are all of them.
var Permissions = []Permission{ReadExports, WriteExports}

// The beginnings of keys, by what they are for; they make a leaked key easy to find.
const (
	LivePrefix = "msk_live_"
	TestPrefix = "msk_test_"
)

// Key is what is known of a key, without the key itself.
type Key struct {
	ID          string
	WorkspaceID string
	Name        string
	Display     string // its first characters, to tell it from others
	Permissions []Permission
	CreatedAt   time.Time
	LastUsedAt  *time.Time // within a minute
	RevokedAt   *time.Time
}

// Allows reports whether the key has the permission.
func (k *Key) Allows(p Permission) bool { return slices.Contains(k.Permissions, p) }

// ErrUnknown is a key that does not exist or has been revoked.
var ErrUnknown = errors.New("unknown or revoked API key")

// Store keeps keys in the schema memexport.
type Store struct{ db *sqlx.DB }

// NewStore returns the store in db, whose schema postgres.Migrate makes.
func NewStore(db *sqlx.DB) *Store { return &Store{db} }

// Create mints a key for a workspace and returns it in full, which is the only time that it can be
// seen. The workspace must be a UUID and the permissions known ones.
func (s *Store) Create(ctx context.Context, workspaceID, name, prefix string, permissions []Permission) (secret string, key Key, err error) {
	workspace, err := uuid.Parse(workspaceID)
	if err != nil {
		return "", Key{}, fmt.Errorf("the workspace %q is no UUID", workspaceID)
	}
	if len(permissions) == 0 {
		return "", Key{}, errors.New("a key needs at least one permission")
	}
	for _, p := range permissions {
		if !slices.Contains(Permissions, p) {
			return "", Key{}, fmt.Errorf("unknown permission %q: the permissions are %s", p, joined(Permissions))
		}
	}
	secret = prefix + rand.Text() + rand.Text() // 2 x 130 bits
	key = Key{ID: uuid.NewString(), WorkspaceID: workspace.String(), Name: name, Display: secret[:len(prefix)+6], Permissions: permissions}
	err = s.db.GetContext(ctx, &key.CreatedAt, `INSERT INTO memexport.api_keys (id, workspace_id, name, display, hash, permissions)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`,
		key.ID, key.WorkspaceID, name, key.Display, hash(secret), pq.Array(permissions))
	if err != nil {
		return "", Key{}, fmt.Errorf("store the key: %w", err)
	}
	return secret, key, nil
}

// Lookup returns what is known of a key, or ErrUnknown.
func (s *Store) Lookup(ctx context.Context, secret string) (Key, error) {
	row := s.db.QueryRowContext(ctx, selectKey+`WHERE hash = $1 AND revoked_at IS NULL`, hash(secret))
	key, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrUnknown
	}
	if err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	if key.LastUsedAt == nil || time.Since(*key.LastUsedAt) > time.Minute {
		// Written at most once a minute, so that a busy key does not make its row hot, and without
		// regard to the outcome, since the key is valid either way.
		_, _ = s.db.ExecContext(ctx, `UPDATE memexport.api_keys SET last_used_at = now() WHERE id = $1
			AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`, key.ID)
	}
	return key, nil
}

// List returns the keys of a workspace, or of all for "", the oldest first, revoked ones included.
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

// Revoke makes the key with this id useless at once; ErrUnknown if there is none to revoke.
func (s *Store) Revoke(ctx context.Context, id string) error {
	if len(id) != 36 || uuid.Validate(id) != nil { // it also lets forms through that Postgres does not read
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

const selectKey = `SELECT id, workspace_id, name, display, permissions, created_at, last_used_at, revoked_at FROM memexport.api_keys `

func scan(row interface{ Scan(...any) error }) (Key, error) {
	var k Key
	var permissions pq.StringArray
	err := row.Scan(&k.ID, &k.WorkspaceID, &k.Name, &k.Display, &permissions, &k.CreatedAt, &k.LastUsedAt, &k.RevokedAt)
	for _, p := range permissions {
		k.Permissions = append(k.Permissions, Permission(p))
	}
	return k, err
}

// hash needs no salt and no stretching: a key is 260 random bits, not a password.
func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func joined(permissions []Permission) string {
	var names []string
	for _, p := range permissions {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
