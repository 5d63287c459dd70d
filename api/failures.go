package api

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The greatest numbers that failures remembers, so that its size stays below a few MiB.
const (
	maxAddresses = 10_000 // beyond it, the address that failed longest ago is forgotten
	maxKnown     = 10_000 // beyond it, the credential that was used longest ago is forgotten
)

// failures limits how many requests from one address may have a wrong credential. The limit is a bucket
// of tokens for each address: it holds a minute's worth, a failure takes one, and they come back at an
// even pace. A request takes its token before the credential is looked up, and gets it back if the
// credential is right; otherwise requests at the same time could exceed the limit.
//
// Credentials that were right a while ago are let through, so that a stranger who shares an address
// with others, such as a proxy's, cannot lock them out. They are looked up all the same.
type failures struct {
	perMinute float64 // 0 means no limit

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Prefix, *bucket] // addresses with failures, and with attempts under way
	known     *simplelru.LRU[[sha256.Size]byte, struct{}]
}

type bucket struct {
	tokens  float64
	updated time.Time
}

func newFailures(perMinute int) *failures {
	addresses, _ := simplelru.NewLRU[netip.Prefix, *bucket](maxAddresses, nil) // fails only for sizes below 1
	known, _ := simplelru.NewLRU[[sha256.Size]byte, struct{}](maxKnown, nil)
	return &failures{perMinute: float64(perMinute), addresses: addresses, known: known}
}

// try starts an attempt to authenticate. It returns how long the client must wait before the next one,
// or 0 and a function that must be called with the result of the attempt.
func (f *failures) try(address netip.Addr, secret string, now time.Time) (wait time.Duration, done func(result)) {
	if f.perMinute == 0 {
		return 0, func(result) {}
	}
	hash := sha256.Sum256([]byte(secret))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known.Contains(hash) {
		return 0, func(r result) { f.finish(hash, nil, netip.Prefix{}, r) }
	}
	network := networkOf(address)
	b, found := f.addresses.Get(network)
	if !found {
		b = &bucket{tokens: f.perMinute, updated: now}
		f.addresses.Add(network, b)
	}
	b.tokens = min(f.perMinute, b.tokens+f.perMinute*now.Sub(b.updated).Minutes())
	b.updated = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) / f.perMinute * float64(time.Minute)), nil
	}
	b.tokens--
	return 0, func(r result) { f.finish(hash, b, network, r) }
}

// result is what came of an attempt to authenticate.
type result int

const (
	undecided result = iota // the database or the provider did not answer, which is not the client's fault
	right
	wrong
	abandoned // the client left before the result; it could otherwise try without limit
)

// finish gives the token back to b if the credential was right or nobody could tell. b is nil for a known
// credential, which took none.
func (f *failures) finish(hash [sha256.Size]byte, b *bucket, network netip.Prefix, r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r {
	case right:
		f.known.Add(hash, struct{}{})
	case wrong:
		f.known.Remove(hash)
	}
	if b == nil || r == wrong || r == abandoned {
		return
	}
	if b.tokens = min(f.perMinute, b.tokens+1); b.tokens == f.perMinute {
		f.addresses.Remove(network)
	}
}

// networkOf returns what counts as one address: an IPv4 address, or the 64 bits of an IPv6 address that
// a single customer has at least.
func networkOf(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // the zero Prefix for the zero Addr
	return network
}
