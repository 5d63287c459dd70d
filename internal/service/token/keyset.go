package token

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	fetchTimeout = 3 * time.Second  // for one request to the provider
	patience     = time.Second / 5  // how long a caller waits for fresh keys if there are older ones that may be used
	fetchEvery   = 10 * time.Second // least time between two attempts, so that made-up key ids cannot flood the provider
	refreshAfter = 10 * time.Minute // age at which keys are fetched again, so that withdrawn keys are forgotten
	maxAge       = time.Hour        // how old the keys may become while the provider does not answer
	maxDocument  = 1 << 20          // bytes of a document from the provider; usual ones have a few KiB
)

// keySet holds the public keys of a provider. It finds the URL of the keys by OpenID Connect
// Discovery.
type keySet struct {
	issuer  string
	client  *http.Client
	now     func() time.Time // time.Now, except in tests
	fetches singleflight.Group

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when the keys were fetched; zero if never
	tried   time.Time // when the last attempt to fetch them ended
	err     error     // result of the last attempt
}

// find returns the keys that may have signed a token with this key id and algorithm. It returns none
// if the provider has no such key. If the token has no key id, every key that may be used with the
// algorithm qualifies. The error wraps ErrUnavailable or is the error of ctx.
func (s *keySet) find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	found, age := s.cached(id, algorithm)
	if len(found) > 0 && age < refreshAfter {
		return found, nil
	}
	limited := ctx
	if len(found) > 0 && age < maxAge {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	err := s.refresh(limited)
	found, age = s.cached(id, algorithm)
	if len(found) > 0 && age < maxAge {
		return found, nil
	}
	return nil, err
}

// cached returns the fetched keys that match a key id and an algorithm as find requires, and the time
// since they were fetched.
func (s *keySet) cached(id, algorithm string) (found []jose.JSONWebKey, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm) {
			found = append(found, k)
		}
	}
	return found, s.now().Sub(s.fetched)
}

// refresh fetches the keys, unless the last attempt was less than fetchEvery ago. Concurrent callers
// share one attempt, which continues even if the context of a caller ends.
func (s *keySet) refresh(ctx context.Context) error {
	attempt := s.fetches.DoChan("", func() (any, error) {
		s.mu.Lock()
		recent, err := s.now().Sub(s.tried) < fetchEvery, s.err
		s.mu.Unlock()
		if recent {
			return nil, err
		}
		keys, err := s.fetch(context.WithoutCancel(ctx))
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tried, s.err = s.now(), err
		if err == nil {
			s.keys, s.fetched = keys, s.tried
		}
		return nil, err
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case result := <-attempt:
		return result.Err
	}
}

// fetch returns the provider's public keys for signatures.
func (s *keySet) fetch(ctx context.Context) (keys []jose.JSONWebKey, err error) {
	var provider struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &provider); err != nil {
		return nil, err
	}
	if provider.Issuer != s.issuer {
		return nil, fmt.Errorf("the provider calls itself %q: set OIDC_ISSUER to exactly that", provider.Issuer)
	}
	if strings.HasPrefix(s.issuer, "https:") && !strings.HasPrefix(provider.KeysURL, "https:") {
		return nil, fmt.Errorf("the provider's jwks_uri %q is not an https URL", provider.KeysURL)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, provider.KeysURL, &set); err != nil {
		return nil, err
	}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Keys of a type that go-jose does not know are skipped, as RFC 7517 asks. IsPublic excludes
		// symmetric keys.
		if err := key.UnmarshalJSON(raw); err == nil && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no public key for signatures", provider.KeysURL)
	}
	return keys, nil
}

// get fetches a JSON document.
func (s *keySet) get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
