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

	"memexport/internal/service/metrics"
)

const (
	// burstSeconds sets the burst, which is how many requests a key may make at once after a pause. The
	// burst is as large as the number of requests that the key may make in burstSeconds. This is enough for
	// a client that occasionally reads the status of all its exports.
	burstSeconds = 5
	// maxRatedKeys limits how many keys the type rates remembers, so that it needs only a few MiB of
	// memory. Beyond this number, it forgets the key that was used longest ago. A forgotten key may make a
	// full burst when it is used again.
	maxRatedKeys = 10_000
)

// rates limits how many requests each key makes in a second.
type rates struct {
	perSecond int // 0 means any number

	mu    sync.Mutex
	byKey *simplelru.LRU[string, *rate.Limiter]
	// byCredential finds the caller of a request by the credentialHash of its headers. It has an entry
	// only for headers whose key has been found valid. With it, a request beyond the limit is refused
	// without a database query.
	byCredential *simplelru.LRU[[sha256.Size]byte, ratedCaller]
}

// ratedCaller is a caller, and the limiter of its key.
type ratedCaller struct {
	caller
	limiter *rate.Limiter
}

func newRates(perSecond int) *rates {
	byKey, _ := simplelru.NewLRU[string, *rate.Limiter](maxRatedKeys, nil) // the error is nil, because the size is positive
	byCredential, _ := simplelru.NewLRU[[sha256.Size]byte, ratedCaller](maxRatedKeys, nil)
	return &rates{perSecond: perSecond, byKey: byKey, byCredential: byCredential}
}

// exhausted reports whether the key in the headers h is known and may make no request at the moment. If so, it
// returns the caller too.
func (r *rates) exhausted(h http.Header) (c ratedCaller, yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, known := r.byCredential.Get(credentialHash(h))
	return c, known && c.limiter.Tokens() < 1
}

// take counts a request of c and reports whether the key of c may make it. h are the headers of the request.
// Call take only after the key in h has been found valid.
func (r *rates) take(c caller, h http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, found := r.byKey.Get(c.keyID)
	if !found {
		limiter = rate.NewLimiter(rate.Limit(r.perSecond), burstSeconds*r.perSecond)
		r.byKey.Add(c.keyID, limiter)
	}
	r.byCredential.Add(credentialHash(h), ratedCaller{c, limiter})
	return limiter.Allow()
}

// credentialHash returns a hash of the headers that can contain a key. rates stores this hash instead of
// the secret.
func credentialHash(h http.Header) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(h.Values("X-Api-Key"), "\n") + "\n\n" + strings.Join(h.Values("Authorization"), "\n")))
}

// refuse answers a request that exceeds the limit.
func (r *rates) refuse(ctx huma.Context) {
	_, w := humago.Unwrap(ctx)
	metrics.LimitsHit.Add(ctx.Context(), 1, metrics.LimitRequests)
	p := newProblem(codeRateLimited)
	p.Detail += fmt.Sprintf(" The limit is %d requests a second for each key, with bursts of %d.", r.perSecond, burstSeconds*r.perSecond)
	writeProblem(w, p.with("RateLimit", `"requests";r=0;t=1`).
		with("RateLimit-Policy", fmt.Sprintf(`"requests";q=%d;w=%d`, burstSeconds*r.perSecond, burstSeconds)))
}

// refuseExhausted refuses a request of a key that may make no request at the moment. It runs before
// authentication.
func (s *service) refuseExhausted(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if s.rates.perSecond > 0 {
		if c, yes := s.rates.exhausted(r.Header); yes {
			info := infoOf(r.Context())
			info.workspaceID, info.keyID = c.workspaceID, c.keyID
			s.rates.refuse(ctx)
			return
		}
	}
	next(ctx)
}

// limitRate counts a request that has been authenticated, and refuses it if its key has reached the limit.
func (s *service) limitRate(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if s.rates.perSecond > 0 && !s.rates.take(callerOf(ctx.Context()), r.Header) {
		s.rates.refuse(ctx)
		return
	}
	next(ctx)
}
