package apikey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/apikey"
)

// createUntil creates a key that is valid for the duration lasts.
func createUntil(t *testing.T, s *apikey.Store, lasts time.Duration) (string, apikey.Key) {
	t.Helper()
	expiresAt := time.Now().Add(lasts)
	secret, key, err := s.CreateUntil(t.Context(), &expiresAt, tenant, "nightly", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		t.Fatal(err)
	}
	return secret, key
}

// elapse moves the times of a key into the past by d, as if d had passed.
func elapse(t *testing.T, db *sqlx.DB, id string, d time.Duration) {
	t.Helper()
	if _, err := db.Exec(`UPDATE memexport.api_keys SET created_at = created_at - make_interval(secs => $2),
		expires_at = expires_at - make_interval(secs => $2) WHERE id = $1`, id, d.Seconds()); err != nil {
		t.Fatal(err)
	}
}

func unknown(t *testing.T, s *apikey.Store, secret string) {
	t.Helper()
	if _, err := s.Lookup(t.Context(), secret); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("Lookup: %v, want %v", err, apikey.ErrUnknown)
	}
}

func listed(t *testing.T, s *apikey.Store, id string) apikey.Key {
	t.Helper()
	list, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(k apikey.Key) bool { return k.ID == id })
	if i < 0 {
		t.Fatalf("the key %s is not in the list", id)
	}
	return list[i]
}

func state(t *testing.T, s *apikey.Store, id, want string) {
	t.Helper()
	k := listed(t, s, id)
	if got := k.State(time.Now()); got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
}

func TestAnExpiredKeyIsUnknown(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, key := createUntil(t, s, 90*24*time.Hour)
	if got := lookup(t, s, secret); got.ExpiresAt == nil || got.ExpiresAt.Sub(*key.ExpiresAt).Abs() > time.Microsecond {
		t.Errorf("expires at %v, want %v", got.ExpiresAt, key.ExpiresAt)
	}
	elapse(t, db, key.ID, 90*24*time.Hour-time.Minute)
	lookup(t, s, secret)
	state(t, s, key.ID, "valid")
	elapse(t, db, key.ID, time.Minute)
	unknown(t, s, secret)
	state(t, s, key.ID, "expired")
	if _, _, err := s.Rotate(t.Context(), key.ID, time.Hour, nil); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("Rotate of an expired key: %v", err)
	}
}

func TestBothKeysAreValidUntilTheOverlapEnds(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	before, old := create(t, s, tenant, apikey.ReadExports)
	after, replacement, err := s.Rotate(t.Context(), old.ID, 24*time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := lookup(t, s, after)
	if after == before || got.ID != replacement.ID || got.ID == old.ID || got.WorkspaceID != tenant || got.Name != old.Name ||
		!slices.Equal(got.Permissions, old.Permissions) || got.ExpiresAt != nil || after[:9] != apikey.LivePrefix {
		t.Errorf("the new key is %+v, the old one is %+v", got, old)
	}
	if got := lookup(t, s, before); got.ReplacedBy == nil || *got.ReplacedBy != replacement.ID {
		t.Errorf("the old key is replaced by %v, want %s", got.ReplacedBy, replacement.ID)
	}
	state(t, s, old.ID, "replaced")
	elapse(t, db, old.ID, 24*time.Hour-time.Minute)
	lookup(t, s, before)
	elapse(t, db, old.ID, time.Minute)
	unknown(t, s, before)
	lookup(t, s, after)
}

func TestRotationKeepsTheLifetimeUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	_, old := createUntil(t, s, 90*24*time.Hour)
	elapse(t, db, old.ID, 89*24*time.Hour)
	secret, second, err := s.Rotate(t.Context(), old.ID, 7*24*time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*second.ExpiresAt); left < 90*24*time.Hour-time.Hour || left > 90*24*time.Hour || secret[:9] != apikey.TestPrefix {
		t.Errorf("the new key %s lasts %s", secret[:9], left)
	}
	if left := time.Until(*listed(t, s, old.ID).ExpiresAt); left > 24*time.Hour {
		t.Errorf("the overlap made the old key last longer, for %s", left)
	}
	chosen := time.Now().Add(time.Hour)
	_, third, err := s.Rotate(t.Context(), second.ID, 0, &chosen)
	if err != nil || !third.ExpiresAt.Equal(chosen) {
		t.Fatalf("expires at %v, want %v: %v", third.ExpiresAt, chosen, err)
	}
	unknown(t, s, secret) // the overlap was 0
}

func TestAKeyIsRotatedOnce(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	_, old := create(t, s, tenant, apikey.ReadExports)
	errs := make(chan error, 2)
	for range 2 { // two concurrent rotations
		go func() {
			_, _, err := s.Rotate(t.Context(), old.ID, time.Hour, nil)
			errs <- err
		}()
	}
	var replaced *apikey.Replaced
	if a, b := <-errs, <-errs; (a == nil) == (b == nil) || !errors.As(errors.Join(a, b), &replaced) || replaced.By != *listed(t, s, old.ID).ReplacedBy {
		t.Errorf("%v, %v", a, b)
	}
	var keys int
	if err := db.Get(&keys, `SELECT count(*) FROM memexport.api_keys`); err != nil || keys != 2 {
		t.Errorf("%d keys, %v", keys, err)
	}
	for _, id := range []string{"", "x", uuid.NewString(), "urn:uuid:" + old.ID} {
		if _, _, err := s.Rotate(t.Context(), id, time.Hour, nil); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("Rotate(%q): %v", id, err)
		}
	}
	past := time.Now().Add(-time.Second)
	for _, f := range []func() error{
		func() error {
			_, _, err := s.Rotate(t.Context(), *listed(t, s, old.ID).ReplacedBy, -1, nil)
			return err
		},
		func() error {
			_, _, err := s.Rotate(t.Context(), *listed(t, s, old.ID).ReplacedBy, 1, &past)
			return err
		},
	} {
		if f() == nil {
			t.Error("no error")
		}
	}
}

func TestARevokedKeyEndsWithoutTheKeyThatReplacesIt(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	before, old := create(t, s, tenant, apikey.ReadExports)
	after, replacement, err := s.Rotate(t.Context(), old.ID, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	unknown(t, s, before)
	state(t, s, old.ID, "revoked")
	lookup(t, s, after)
	if err := s.Revoke(t.Context(), replacement.ID); err != nil {
		t.Fatal(err)
	}
	unknown(t, s, after)
	if _, _, err := s.Rotate(t.Context(), replacement.ID, time.Hour, nil); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("Rotate of a revoked key: %v", err)
	}
}

func TestEveryProcessSeesARevocationAtOnce(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	other := apikey.NewStore(db) // stands for another process
	secret, key := create(t, s, tenant, apikey.ReadExports)
	lookup(t, other, secret)
	if err := s.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	unknown(t, other, secret)
}
