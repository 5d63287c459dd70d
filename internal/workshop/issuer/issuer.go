// Package issuer is an OpenID Connect provider for tests: an HTTP server with a discovery document and
// public keys, which signs tokens with real keys.
package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is the value of the claim aud in the result of Claims.
const Audience = "exports"

// Issuer is a running provider.
type Issuer struct {
	URL string

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	extra   []any // the entries that Publish added to the key set
	fetches int
	failure http.HandlerFunc
}

// Start starts a provider without keys, which is stopped at the end of the test.
func Start(tb testing.TB) *Issuer {
	tb.Helper()
	i := &Issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.fetches++
		entries := slices.Clone(i.extra)
		for _, key := range i.keys {
			entries = append(entries, key)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": entries})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		failure := i.failure
		i.mu.Unlock()
		if failure != nil {
			failure(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// Fail makes the provider answer every request with failure. Fail(nil) ends that.
func (i *Issuer) Fail(failure http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failure = failure
}

// Publish adds entries to the key set as they are.
func (i *Issuer) Publish(entries ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.extra = append(i.extra, entries...)
}

// Fetches returns how often the key set was fetched.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Withdraw removes a key from the key set.
func (i *Issuer) Withdraw(k *Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.DeleteFunc(i.keys, func(published jose.JSONWebKey) bool { return published.KeyID == k.ID })
}

// Claims returns the claims of a token that is valid for an hour.
func (i *Issuer) Claims(workspaceID string, scope any) map[string]any {
	now := time.Now()
	return map[string]any{"iss": i.URL, "aud": Audience, "sub": "user-1", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"workspace_id": workspaceID, "scope": scope}
}

// Key is a key pair of a provider.
type Key struct {
	ID        string
	Algorithm jose.SignatureAlgorithm
	Private   crypto.Signer
}

// NewKey creates a key pair that is not published.
func NewKey(tb testing.TB, id string, algorithm jose.SignatureAlgorithm) *Key {
	tb.Helper()
	k := &Key{ID: id, Algorithm: algorithm}
	var err error
	switch algorithm {
	case jose.ES256:
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		k.Private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	case jose.RS256, jose.PS256:
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no key for %s", algorithm)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// NewKey creates a key pair and publishes it.
func (i *Issuer) NewKey(tb testing.TB, id string, algorithm jose.SignatureAlgorithm) *Key {
	tb.Helper()
	k := NewKey(tb, id, algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: k.Private.Public(), KeyID: id, Algorithm: string(algorithm), Use: "sig"})
	return k
}

// Sign returns a token with these claims.
func (k *Key) Sign(tb testing.TB, claims map[string]any) string {
	tb.Helper()
	return Sign(tb, jose.SigningKey{Algorithm: k.Algorithm, Key: k.Private}, k.ID, claims)
}

// Sign returns a token with these claims, signed with key, which need not belong to an issuer. If id is empty,
// the token has no kid.
func Sign(tb testing.TB, key jose.SigningKey, id string, claims map[string]any) string {
	tb.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
