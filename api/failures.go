package api

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"memexport/api/internal/connection"
)

// The type failures remembers at most this many addresses and credentials, so that it needs only a few MiB
// of memory.
const (
	maxAddresses = 10_000 // beyond this number, the address that failed longest ago is forgotten
	maxKnown     = 10_000 // beyond this number, the credential that was used longest ago is forgotten
)

// failures limits how many requests from one address may have a wrong credential. Each address has a
// token bucket: it holds as many tokens as failures are allowed in a minute, each failure takes one, and
// tokens return at a steady rate. A request takes its token before the credential is looked up, and gives
// the token back if the credential is right. If the token were taken afterwards, concurrent requests
// could exceed the limit.
//
// Credentials that were right on an earlier request skip the limit, but are still looked up. So a
// stranger who shares an address with other clients, such as the address of a proxy, cannot lock them
// out.
//
// A client may send several requests at once with a valid credential that this process does not know yet.
// Only the first of these requests takes a token, and the others share that token. Otherwise they could
// reach the limit together. If the credential is wrong, each of the others takes its own token afterwards.
type failures struct {
	perMinute float64 // 0 means no limit

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Prefix, *bucket] // addresses with recent failures or with attempts in progress
	known     *simplelru.LRU[[sha256.Size]byte, struct{}]
	trying    map[[sha256.Size]byte]int // attempts in progress for each credential that is not known
}

type bucket struct {
	tokens  float64
	updated time.Time
}

func newFailures(perMinute int) *failures {
	addresses, _ := simplelru.NewLRU[netip.Prefix, *bucket](maxAddresses, nil) // the error is nil, because the size is positive
	known, _ := simplelru.NewLRU[[sha256.Size]byte, struct{}](maxKnown, nil)
	return &failures{perMinute: float64(perMinute), addresses: addresses, known: known, trying: map[[sha256.Size]byte]int{}}
}

// try starts an attempt to authenticate. If the client must wait before its next attempt, try returns the
// time to wait. Otherwise it returns 0 and a function that must be called with the result of the attempt.
func (f *failures) try(address netip.Addr, secret string, now time.Time) (wait time.Duration, done func(result)) {
	if f.perMinute == 0 {
		return 0, func(result) {}
	}
	hash := sha256.Sum256([]byte(secret))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known.Contains(hash) {
		return 0, func(r result) { f.learn(hash, r) }
	}
	network := connection.NetworkOf(address)
	b, found := f.addresses.Get(network)
	if !found {
		b = &bucket{tokens: f.perMinute, updated: now}
		f.addresses.Add(network, b)
	}
	b.tokens = min(f.perMinute, b.tokens+f.perMinute*now.Sub(b.updated).Minutes())
	b.updated = now
	shares := f.trying[hash] > 0
	if !shares && b.tokens < 1 {
		wait = time.Duration((1 - b.tokens) / f.perMinute * float64(time.Minute))
		return max(1, wait), nil // less than a nanosecond would be rounded to 0, which means that the client need not wait
	}
	if !shares {
		b.tokens--
	}
	f.trying[hash]++
	return 0, func(r result) { f.finish(hash, b, shares, network, r) }
}

// result is the outcome of an attempt to authenticate.
type result int

const (
	undecided result = iota // the database or the identity provider did not answer, which is not the client's fault
	right
	wrong
	abandoned // the client left before the result was known; counts as a failure, because otherwise clients could try without limit by leaving early
)

// learn remembers a valid credential, and forgets an invalid one.
func (f *failures) learn(hash [sha256.Size]byte, r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remember(hash, r)
}

func (f *failures) remember(hash [sha256.Size]byte, r result) {
	switch r {
	case right:
		f.known.Add(hash, struct{}{})
	case wrong:
		f.known.Remove(hash)
	}
}

// finish ends an attempt. If shared is true, the attempt used the token of another attempt. Otherwise it
// took a token from b. finish takes a token from b if the attempt failed and shared is true. It returns a
// token to b if the attempt did not fail and shared is false.
func (f *failures) finish(hash [sha256.Size]byte, b *bucket, shared bool, network netip.Prefix, r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remember(hash, r)
	if f.trying[hash]--; f.trying[hash] == 0 {
		delete(f.trying, hash)
	}
	failed := r == wrong || r == abandoned
	switch {
	case failed && shared:
		b.tokens = max(b.tokens-1, -f.perMinute) // limit the debt: a client that sent one wrong key many times at once waits at most one more minute
	case !failed && !shared:
		b.tokens = min(f.perMinute, b.tokens+1)
	}
	if b.tokens == f.perMinute {
		f.addresses.Remove(network)
	}
}
