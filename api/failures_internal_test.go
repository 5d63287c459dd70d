package api

import (
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestFailuresAreForgottenAtAnEvenPace(t *testing.T) {
	f, now := newFailures(6), time.Now() // 6 failures a minute: one token returns every 10 seconds
	address := netip.MustParseAddr("192.0.2.1")
	fails := func(at time.Duration, wait time.Duration) {
		t.Helper()
		got, done := f.try(address, "x", now.Add(at))
		if got.Round(time.Millisecond) != wait {
			t.Errorf("after %s: wait for %s, want %s", at, got, wait)
		}
		if done != nil {
			done(wrong)
		}
	}
	for range 6 {
		fails(0, 0)
	}
	fails(0, 10*time.Second)
	fails(4*time.Second, 6*time.Second)
	fails(10*time.Second, 0)
	fails(10*time.Second, 10*time.Second)
	for range 6 {
		fails(time.Hour, 0)
	}
	fails(time.Hour, 10*time.Second)
}

func TestALostResultCountsOnlyIfTheClientLeft(t *testing.T) {
	f, now := newFailures(1), time.Now()
	attempt := func(last byte, r result) (wait time.Duration) {
		wait, done := f.try(netip.AddrFrom4([4]byte{192, 0, 2, last}), "x", now)
		if done != nil {
			done(r)
		}
		return wait
	}
	for range 3 {
		if attempt(1, undecided) != 0 {
			t.Error("an attempt without a result was counted")
		}
	}
	if attempt(2, abandoned); attempt(2, abandoned) == 0 {
		t.Error("an attempt that the client abandoned was not counted")
	}
	attempt(3, right)
	attempt(4, abandoned)
	if attempt(4, abandoned) != 0 {
		t.Error("a credential that was right is forgotten when its client leaves")
	}
}

func TestOnlyFailuresTakeMemoryAndNotWithoutLimit(t *testing.T) {
	f, now := newFailures(1), time.Now()
	attempt := func(i int, r result) {
		address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if wait, done := f.try(address, strconv.Itoa(i), now); wait == 0 {
			done(r)
		}
	}
	for i := range 100 {
		attempt(i, right)
		attempt(i+1000, undecided)
	}
	if n := f.addresses.Len(); n != 0 {
		t.Errorf("%d addresses without a failure are remembered", n)
	}
	for i := range 2 * maxAddresses {
		attempt(i, wrong)
		attempt(i+1<<20, right)
	}
	// A successful attempt adds an entry to addresses, which may drop the oldest entry. At its end, the
	// attempt removes its own entry. So one entry may be missing here.
	if n := f.addresses.Len(); n > maxAddresses || n < maxAddresses-1 || f.known.Len() != maxKnown {
		t.Errorf("%d addresses and %d credentials are remembered", n, f.known.Len())
	}
}

func TestAnAttemptMayBeginAfterTheWait(t *testing.T) {
	for _, perMinute := range []int{1, 3, 6, 7, 10, 30, 60, 77, 100, 150} {
		f, now, address := newFailures(perMinute), time.Now(), netip.MustParseAddr("192.0.2.1")
		for i := range perMinute {
			now = now.Add(1234567)
			_, done := f.try(address, strconv.Itoa(i), now)
			done(wrong)
		}
		for range 100 {
			wait, done := f.try(address, "later", now)
			if (wait == 0) != (done != nil) {
				t.Fatalf("with %d failures a minute, try returns the wait %s, and a function: %t", perMinute, wait, done != nil)
			}
			if done != nil {
				done(wrong)
			}
			now = now.Add(wait)
		}
	}
}

// After a deploy, a client may send many requests at once to a process that does not know its key yet.
func TestConcurrentRequestsWithOneKeyShareAToken(t *testing.T) {
	const requests = 5
	now, address := time.Now(), netip.MustParseAddr("192.0.2.1")
	for outcome, wantWait := range map[result]bool{right: false, wrong: true, abandoned: true} {
		f := newFailures(2)
		var done []func(result)
		for range requests {
			wait, finish := f.try(address, "one key", now)
			if wait != 0 {
				t.Fatalf("one of the concurrent requests must wait %s", wait)
			}
			done = append(done, finish)
		}
		for _, finish := range done {
			finish(outcome)
		}
		if len(f.trying) != 0 {
			t.Errorf("%d credentials are still being tried", len(f.trying))
		}
		if wait, _ := f.try(address, "another key", now); (wait > 0) != wantWait {
			t.Errorf("after the result %d, the next key must wait %s", outcome, wait)
		}
	}
}
