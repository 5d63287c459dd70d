package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// burstSeconds is how many seconds' worth of requests a key that was quiet may make at once: enough for
	// a client that looks at all its exports now and then.
	burstSeconds = 5
	// maxRatedKeys bounds the memory for rates to a few MiB. Beyond it, the key that was used longest ago is
	// forgotten, which only gives it a new burst.
	maxRatedKeys = 10_000
)

// rates limits how many requests each key makes in a second.
type rates struct {
	perSecond int // 0 means any number

	mu    sync.Mutex
	byKey *simplelru.LRU[string, *rate.Limiter]
	// byCredential has what valid keys were sent as, so that a request beyond the limit can be refused
	// before its key is looked up in the database.
	byCredential *simplelru.LRU[[sha256.Size]byte, *rate.Limiter]
}

func newRates(perSecond int) *rates {
	byKey, _ := simplelru.NewLRU[string, *rate.Limiter](maxRatedKeys, nil) // fails only for sizes below 1
	byCredential, _ := simplelru.NewLRU[[sha256.Size]byte, *rate.Limiter](maxRatedKeys, nil)
	return &rates{perSecond: perSecond, byKey: byKey, byCredential: byCredential}
}

// exhausted reports whether the key of a request is known to have no requests left.
func (r *rates) exhausted(h http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, known := r.byCredential.Get(credentialHash(h))
	return known && limiter.Tokens() < 1
}

// take reports whether the key with this id may make a request, and counts it. h are the headers with
// which the key was found valid.
func (r *rates) take(keyID string, h http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, found := r.byKey.Get(keyID)
	if !found {
		limiter = rate.NewLimiter(rate.Limit(r.perSecond), burstSeconds*r.perSecond)
		r.byKey.Add(keyID, limiter)
	}
	r.byCredential.Add(credentialHash(h), limiter)
	return limiter.Allow()
}

// credentialHash returns a hash of the headers that can hold a key. The secret itself is not kept.
func credentialHash(h http.Header) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(h.Values("X-Api-Key"), "\n") + "\n\n" + strings.Join(h.Values("Authorization"), "\n")))
}

// refuse answers a request beyond the limit.
func (r *rates) refuse(ctx huma.Context) {
	_, w := humago.Unwrap(ctx)
	p := newProblem(codeRateLimited)
	p.Detail += fmt.Sprintf(" The limit is %d requests a second for each key, with bursts of %d.", r.perSecond, burstSeconds*r.perSecond)
	writeProblem(w, p.with("RateLimit", `"requests";r=0;t=1`).
		with("RateLimit-Policy", fmt.Sprintf(`"requests";q=%d;w=%d`, burstSeconds*r.perSecond, burstSeconds)))
}

// refuseExhausted refuses a request before it is authenticated if its key has no requests left.
func (s *service) refuseExhausted(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if s.rates.perSecond > 0 && s.rates.exhausted(r.Header) {
		s.rates.refuse(ctx)
		return
	}
	next(ctx)
}

// limitRate counts a request that has been authenticated, and refuses it if its key has no requests
// left.
func (s *service) limitRate(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if s.rates.perSecond > 0 && !s.rates.take(infoOf(r.Context()).keyID, r.Header) {
		s.rates.refuse(ctx)
		return
	}
	next(ctx)
}
