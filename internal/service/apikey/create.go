package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// maxName is the greatest length of a name, in characters.
const maxName = 100

// Create creates a key that does not expire. See CreateUntil.
func (s *Store) Create(ctx context.Context, workspaceID, name, prefix string, permissions []Permission) (secret string, key Key, err error) {
	return s.CreateUntil(ctx, nil, workspaceID, name, prefix, permissions)
}

// CreateUntil creates a key for a workspace and returns its secret, which cannot be read again later.
// The key is valid until expiresAt, or without end if expiresAt is nil. The prefix is LivePrefix or
// TestPrefix. The workspace may be written in any form of a UUID. The name may have up to 100
// characters, all printable.
func (s *Store) CreateUntil(ctx context.Context, expiresAt *time.Time, workspaceID, name, prefix string, permissions []Permission) (secret string, key Key, err error) {
	workspace, err := uuid.Parse(workspaceID)
	if err != nil {
		return "", Key{}, fmt.Errorf("the workspace %q is not a UUID", workspaceID)
	}
	if err := checkName(name); err != nil {
		return "", Key{}, err
	}
	if len(permissions) == 0 {
		return "", Key{}, fmt.Errorf("a key needs at least one permission: the permissions are %s", joined(Permissions))
	}
	for _, p := range permissions {
		if !slices.Contains(Permissions, p) {
			return "", Key{}, fmt.Errorf("unknown permission %q: the permissions are %s", p, joined(Permissions))
		}
	}
	if err := checkExpiry(expiresAt); err != nil {
		return "", Key{}, err
	}
	return insert(ctx, s.db, Key{WorkspaceID: workspace.String(), Name: name, Permissions: permissions, ExpiresAt: expiresAt}, prefix)
}

// checkName returns an error if a name is too long or could mislead in a list. Control characters
// could forge lines. Invisible characters, and characters that reverse the text, could make one name
// look like another.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return errors.New("the name is not valid UTF-8")
	}
	if strings.TrimSpace(name) == "" {
		return errors.New("the name is empty: say what the key is for")
	}
	if n := utf8.RuneCountInString(name); n > maxName {
		return fmt.Errorf("the name has %d characters: at most %d are allowed", n, maxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the name contains %U, which is not a printable character: remove it", r)
		}
	}
	return nil
}

func checkExpiry(expiresAt *time.Time) error {
	if expiresAt != nil && !expiresAt.After(time.Now()) {
		return fmt.Errorf("the key would expire at %s, which is not in the future", expiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// insert gives the key an ID and a secret, and stores it.
func insert(ctx context.Context, db sqlx.QueryerContext, key Key, prefix string) (string, Key, error) {
	secret := newSecret(prefix)
	key.ID, key.Display = uuid.NewString(), display(secret, prefix)
	err := sqlx.GetContext(ctx, db, &key.CreatedAt, `INSERT INTO memexport.api_keys (id, workspace_id, name, display, hash, permissions, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING created_at`,
		key.ID, key.WorkspaceID, key.Name, key.Display, hash(secret), pq.Array(key.Permissions), key.ExpiresAt)
	if err != nil {
		return "", Key{}, fmt.Errorf("store the key: %w", err)
	}
	return secret, key, nil
}

func joined(permissions []Permission) string {
	var names []string
	for _, p := range permissions {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
