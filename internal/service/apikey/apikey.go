// Package apikey creates, looks up, rotates and revokes the API keys with which clients authenticate.
// A key belongs to one workspace. Only its hash is stored.
package apikey

import (
	"errors"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
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

// Key describes a key. It does not contain the secret.
type Key struct {
	ID          string // UUID
	WorkspaceID string // UUID
	Name        string // chosen by whoever created the key
	Display     string // the first characters of the secret, to tell keys apart
	Permissions []Permission
	CreatedAt   time.Time
	LastUsedAt  *time.Time // accurate to about a minute; nil if the key was never used
	ExpiresAt   *time.Time // nil if the key does not expire
	RevokedAt   *time.Time // nil if the key was not revoked
	ReplacedBy  *string    // ID of the key that replaced this key, see Rotate; nil if there is none
}

// Allows reports whether the key has the permission.
func (k *Key) Allows(p Permission) bool { return slices.Contains(k.Permissions, p) }

// State describes in one word whether the key is valid at this time: valid, replaced (valid until
// ExpiresAt), expired or revoked.
func (k *Key) State(now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
		return "expired"
	case k.ReplacedBy != nil:
		return "replaced"
	}
	return "valid"
}

// ErrUnknown means that a key does not exist, has expired or has been revoked.
var ErrUnknown = errors.New("unknown, expired or revoked API key")

// Store stores keys in the database schema memexport. It caches nothing: every process sees at once
// that a key was revoked.
type Store struct {
	db   *sqlx.DB
	uses uses
}

// NewStore returns the store in db. The schema must exist: see postgres.Migrate.
func NewStore(db *sqlx.DB) *Store { return &Store{db: db, uses: uses{db: db}} }
