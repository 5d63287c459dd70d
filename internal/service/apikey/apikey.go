// Package apikey creates, looks up and revokes the API keys with which clients authenticate. A key
// belongs to one workspace. Only its hash is stored.
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

	"memexport/internal/service/rowid"
)

// Permission allows one kind of access.
type Permission string

// The permissions. WriteExports does not include ReadExports.
const (
	ReadExports  Permission = "export.read"
	WriteExports Permission = "export.write"
)

// Permissions lists all permissions.
var Permissions = []Permission{ReadExports, WriteExports}

// Prefixes of keys, for production and for tests. Secret scanners find leaked keys by their prefix.
const (
	LivePrefix = "msk_live_"
	TestPrefix = "msk_test_"
)

// Key describes a key. It does not contain the secret.
type Key struct {
	ID          string // UUID
	WorkspaceID string // UUID
	Name        string // chosen by whoever created the key
	Display     string // the first characters of the secret, to tell keys apart
	Permissions []Permission
	CreatedAt   time.Time
	LastUsedAt  *time.Time // to the minute; nil if the key was never used
	RevokedAt   *time.Time // nil if the key is valid
}

// Allows reports whether the key has the permission.
func (k *Key) Allows(p Permission) bool { return slices.Contains(k.Permissions, p) }

// ErrUnknown means that a key does not exist or has been revoked.
var ErrUnknown = errors.New("unknown or revoked API key")

// Store stores keys in the database schema memexport.
type Store struct{ db *sqlx.DB }

// NewStore returns the store in db. The schema must exist: see postgres.Migrate.
func NewStore(db *sqlx.DB) *Store { return &Store{db: db} }

// Create creates a key for a workspace and returns its secret, which cannot be read again later. The
// prefix is LivePrefix or TestPrefix. The workspace may be written in any form of a UUID.
func (s *Store) Create(ctx context.Context, workspaceID, name, prefix string, permissions []Permission) (secret string, key Key, err error) {
	workspace, err := uuid.Parse(workspaceID)
	if err != nil {
		return "", Key{}, fmt.Errorf("the workspace %q is not a UUID", workspaceID)
	}
	if len(permissions) == 0 {
		return "", Key{}, fmt.Errorf("a key needs at least one permission: the permissions are %s", joined(Permissions))
	}
	for _, p := range permissions {
		if !slices.Contains(Permissions, p) {
			return "", Key{}, fmt.Errorf("unknown permission %q: the permissions are %s", p, joined(Permissions))
		}
	}
	secret = prefix + rand.Text() + rand.Text() // 2 x 130 random bits
	key = Key{ID: uuid.NewString(), WorkspaceID: workspace.String(), Name: name, Display: secret[:len(prefix)+6], Permissions: permissions}
	err = s.db.GetContext(ctx, &key.CreatedAt, `INSERT INTO memexport.api_keys (id, workspace_id, name, display, hash, permissions)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`,
		key.ID, key.WorkspaceID, name, key.Display, hash(secret), pq.Array(permissions))
	if err != nil {
		return "", Key{}, fmt.Errorf("store the key: %w", err)
	}
	return secret, key, nil
}

// Lookup returns the key with the given secret. It returns ErrUnknown if there is none or it has been
// revoked.
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
		// The time of use is written at most once a minute, so that requests with the same key do not
		// wait for each other's updates. An error is ignored, because the key is valid anyway.
		_, _ = s.db.ExecContext(ctx, `UPDATE memexport.api_keys SET last_used_at = now() WHERE id = $1
			AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`, key.ID)
	}
	return key, nil
}

// List returns the keys of a workspace, or of all workspaces if workspaceID is empty. It includes
// revoked keys. Within a workspace, the oldest key comes first.
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

// Revoke revokes the key with the given ID, with immediate effect. It returns ErrUnknown if there is no
// such key or it has been revoked before.
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

// DeleteWorkspace deletes the keys of a workspace, revoked ones included, with immediate effect.
func (s *Store) DeleteWorkspace(ctx context.Context, workspaceID string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM memexport.api_keys WHERE workspace_id = $1`, workspaceID); err != nil {
		return fmt.Errorf("delete the keys of a workspace: %w", err)
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

// hash returns the stored form of a secret. It needs no salt and no slow hash function, because a secret
// is 260 random bits and not a password.
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
