package apikey_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/apikey"
	"memexport/internal/workshop/pgtest"
)

const (
	tenant   = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"
	stranger = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b23"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }

func open(t *testing.T) (*apikey.Store, *sqlx.DB) {
	t.Helper()
	db := pgtest.Open(t, 4)
	return apikey.NewStore(db), db
}

func create(t *testing.T, s *apikey.Store, workspaceID string, permissions ...apikey.Permission) (string, apikey.Key) {
	t.Helper()
	secret, key, err := s.Create(t.Context(), workspaceID, "nightly", apikey.LivePrefix, permissions)
	if err != nil {
		t.Fatal(err)
	}
	return secret, key
}

func lookup(t *testing.T, s *apikey.Store, secret string) apikey.Key {
	t.Helper()
	key, err := s.Lookup(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAKeyIsFoundAsItWasCreated(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, permissions := range [][]apikey.Permission{{apikey.ReadExports}, {apikey.WriteExports}, apikey.Permissions} {
		for _, prefix := range []string{apikey.LivePrefix, apikey.TestPrefix} {
			secret, created, err := s.Create(t.Context(), tenant, `a "name" 😀`, prefix, permissions)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(secret, prefix) || len(secret) != len(prefix)+52 {
				t.Errorf("the key is %q", secret)
			}
			got := lookup(t, s, secret)
			if got.ID != created.ID || got.WorkspaceID != tenant || got.Name != `a "name" 😀` || !slices.Equal(got.Permissions, permissions) ||
				!got.CreatedAt.Equal(created.CreatedAt) || got.Display != created.Display || got.RevokedAt != nil || got.LastUsedAt != nil {
				t.Errorf("got %+v, want %+v", got, created)
			}
			if !strings.HasPrefix(secret, got.Display) || len(secret)-len(got.Display) < 40 {
				t.Errorf("the display %q is not a short prefix of the secret", got.Display)
			}
			for _, p := range apikey.Permissions {
				if got.Allows(p) != slices.Contains(permissions, p) {
					t.Errorf("%v allows %s: %v", permissions, p, got.Allows(p))
				}
			}
			if got.Allows("") || got.Allows("export.delete") || got.Allows("export") {
				t.Error("the key allows permissions that do not exist")
			}
		}
	}
}

func TestTheSecretIsNotInTheDatabase(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	lookup(t, s, secret)
	var row, hash string
	if err := db.QueryRow(`SELECT k::text || to_jsonb(k)::text, encode(hash, 'hex') FROM memexport.api_keys k WHERE id = $1`, key.ID).Scan(&row, &hash); err != nil {
		t.Fatal(err)
	}
	random := secret[len(apikey.LivePrefix):]
	for _, form := range []string{random, random[6:], random[:20], random[32:], fmt.Sprintf("%x", secret), fmt.Sprintf("%x", random[10:])} {
		if strings.Contains(strings.ToLower(row), strings.ToLower(form)) {
			t.Errorf("the row contains %q: %s", form, row)
		}
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(secret))); hash != want {
		t.Errorf("the hash is %s, want %s", hash, want)
	}
}

func TestKeysAreUnique(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	seen := map[string]bool{}
	for range 50 {
		secret, _ := create(t, s, tenant, apikey.ReadExports)
		seen[secret] = true
	}
	var hashes int
	if err := db.Get(&hashes, `SELECT count(DISTINCT hash) FROM memexport.api_keys`); err != nil || hashes != 50 || len(seen) != 50 {
		t.Errorf("%d keys, %d hashes: %v", len(seen), hashes, err)
	}
}

func TestOnlyTheExactSecretIsFound(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	random := secret[len(apikey.LivePrefix):]
	for _, wrong := range []string{"", " ", "\x00", apikey.LivePrefix, secret[:len(secret)-1], secret + " ", " " + secret, secret + "\n", secret + "\x00", secret + "A",
		strings.ToLower(secret), strings.ToUpper(secret), random, apikey.TestPrefix + random, key.ID, key.Display, "' OR true --", "%", secret[:len(secret)-1] + "\xff",
		fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))} {
		if _, err := s.Lookup(t.Context(), wrong); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("Lookup(%q): %v", wrong, err)
		}
	}
	lookup(t, s, secret)
}

func TestARevokedKeyIsUnknownAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	other, _ := create(t, s, tenant, apikey.ReadExports)
	lookup(t, s, secret)
	if err := s.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(t.Context(), secret); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("Lookup: %v", err)
	}
	lookup(t, s, other)
	for _, id := range []string{key.ID, uuid.NewString(), "", "x", "urn:uuid:" + key.ID, "' OR true --", secret} {
		if err := s.Revoke(t.Context(), id); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("Revoke(%q): %v", id, err)
		}
	}
	lookup(t, s, other)
}

func TestListReturnsTheKeysOfAWorkspaceAndRevokedOnes(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	var want []string
	for range 3 {
		_, key := create(t, s, tenant, apikey.ReadExports)
		want = append(want, key.ID)
	}
	_, foreign := create(t, s, stranger, apikey.WriteExports)
	if err := s.Revoke(t.Context(), want[1]); err != nil {
		t.Fatal(err)
	}
	for workspace, want := range map[string][]string{tenant: want, strings.ToUpper(tenant): want, stranger: {foreign.ID}, "": append(slices.Clone(want), foreign.ID),
		uuid.NewString(): nil, "' OR true --": nil} {
		list, err := s.List(t.Context(), workspace)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range list {
			got = append(got, key.ID)
			if (key.RevokedAt != nil) != (len(want) > 1 && key.ID == want[1]) {
				t.Errorf("key %s was revoked at %v", key.ID, key.RevokedAt)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) = %v, want %v", workspace, got, want)
		}
	}
}

func TestTheLastUseIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, key := create(t, s, tenant, apikey.ReadExports)
	version := func() (xmin string) {
		t.Helper()
		if err := db.Get(&xmin, `SELECT xmin::text FROM memexport.api_keys WHERE id = $1`, key.ID); err != nil {
			t.Fatal(err)
		}
		return xmin
	}
	unused := version()
	lookup(t, s, secret)
	first := version()
	if first == unused {
		t.Error("the first use was not written")
	}
	for range 5 {
		used := lookup(t, s, secret).LastUsedAt
		if used == nil || time.Since(*used) > time.Minute {
			t.Errorf("last used at %v", used)
		}
	}
	if version() != first {
		t.Error("the row was written again within the minute")
	}
	db.MustExec(`UPDATE memexport.api_keys SET last_used_at = now() - interval '61 seconds'`)
	before := version()
	lookup(t, s, secret)
	if version() == before {
		t.Error("a use after a minute was not written")
	}
}

func TestCreateRejectsInvalidInput(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	read := []apikey.Permission{apikey.ReadExports}
	for what, create := range map[string]func() (string, apikey.Key, error){
		"the workspace": func() (string, apikey.Key, error) { return s.Create(t.Context(), "acme", "n", apikey.LivePrefix, read) },
		"no workspace":  func() (string, apikey.Key, error) { return s.Create(t.Context(), "", "n", apikey.LivePrefix, read) },
		"permission":    func() (string, apikey.Key, error) { return s.Create(t.Context(), tenant, "n", apikey.LivePrefix, nil) },
		`unknown permission "export.delete": the permissions are export.read, export.write`: func() (string, apikey.Key, error) {
			return s.Create(t.Context(), tenant, "n", apikey.LivePrefix, append(read, "export.delete"))
		},
	} {
		secret, _, err := create()
		if err == nil || secret != "" || !strings.Contains(err.Error(), strings.TrimPrefix(what, "no ")) {
			t.Errorf("%s: %q, %v", what, secret, err)
		}
	}
	var rows int
	if err := db.Get(&rows, `SELECT count(*) FROM memexport.api_keys`); err != nil || rows != 0 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestWorkspacesAreStoredInOneForm(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, form := range []string{strings.ToUpper(tenant), "{" + tenant + "}", "urn:uuid:" + tenant, strings.ReplaceAll(tenant, "-", "")} {
		secret, key := create(t, s, form, apikey.ReadExports)
		if got := lookup(t, s, secret); got.WorkspaceID != tenant || key.WorkspaceID != tenant {
			t.Errorf("%s: created for %s, found for %s", form, key.WorkspaceID, got.WorkspaceID)
		}
	}
}
