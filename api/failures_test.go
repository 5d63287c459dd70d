package api_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"memexport/api"
	"memexport/internal/service/apikey"
)

// guess returns a key in the right form that does not exist.
func guess(i int) string { return fmt.Sprintf("msk_live_%s%c", strings.Repeat("A", 51), 'A'+i%26) }

func TestManyWrongKeysFromOneAddressAreRefused(t *testing.T) {
	t.Parallel()
	const limit = 5
	s := newService(t, func(o *api.Options) { o.AuthFailures = limit })
	s.do(t, "GET", "/v1/exports").status(t, 200)
	fresh := s.newKey(t, s.workspace, apikey.Permissions...)
	for range 2 * limit { // these requests send no key, so they do not count as wrong keys
		s.do(t, "GET", "/v1/exports", "X-Api-Key", "").problem(t, 401, "UNAUTHORIZED")
	}
	refused := 0
	for i := range 3 * limit {
		a := s.do(t, "GET", "/v1/exports", "X-Api-Key", guess(i))
		if i < limit {
			a.problem(t, 401, "UNAUTHORIZED")
		} else if a.StatusCode == 429 { // this is not true for every attempt, because a token may be refilled during the test
			refused++
			a.problem(t, 429, "TOO_MANY_FAILURES")
			if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60/limit {
				t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
			}
		}
	}
	if refused < limit {
		t.Errorf("%d of %d wrong keys were refused with 429", refused, 3*limit)
	}
	s.do(t, "GET", "/v1/exports").status(t, 200) // this key was used before, so strangers cannot lock it out
	s.do(t, "GET", "/v1/exports", "X-Api-Key", "", "Authorization", "Bearer "+s.key).status(t, 200)
	s.do(t, "GET", "/healthz", "X-Api-Key", fresh).status(t, 200)
}

func TestARevokedKeyIsUnknownAlsoWhenItWasUsedBefore(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.AuthFailures = 1 })
	secret, key, err := s.keys.Create(t.Context(), s.workspace, "n", apikey.LivePrefix, apikey.Permissions)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports", "X-Api-Key", secret).status(t, 200)
	if err := s.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports", "X-Api-Key", secret).problem(t, 401, "UNAUTHORIZED")
}

func TestWrongKeysAtTheSameTimeDoNotExceedTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 4
	s := newService(t, func(o *api.Options) { o.AuthFailures = limit })
	statuses := make(chan int, 8*limit)
	var group sync.WaitGroup
	for i := range 8 * limit {
		group.Go(func() { statuses <- s.do(t, "GET", "/v1/exports", "X-Api-Key", guess(i)).StatusCode })
	}
	group.Wait()
	close(statuses)
	counts := map[int]int{}
	for status := range statuses {
		counts[status]++
	}
	if counts[401] < limit || counts[429] < 2*limit || counts[401]+counts[429] != 8*limit { // leave some slack, because one token returns every 15 seconds
		t.Errorf("the statuses are %v", counts)
	}
}

func TestValidKeysDoNotCount(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.AuthFailures = 2 })
	for range 6 {
		s.do(t, "GET", "/v1/exports", "X-Api-Key", s.newKey(t, uuid.NewString(), apikey.ReadExports)).status(t, 200)
		s.do(t, "POST", "/v1/exports", "X-Api-Key", s.newKey(t, uuid.NewString(), apikey.ReadExports)).status(t, 403)
	}
}

func TestFailuresCountForTheClientBehindATrustedProxy(t *testing.T) {
	t.Parallel()
	behind := newService(t, func(o *api.Options) {
		o.AuthFailures, o.TrustedProxies = 1, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	try := func(s *service, forwarded string) int {
		return s.do(t, "GET", "/v1/exports", "X-Api-Key", guess(0), "X-Forwarded-For", forwarded).StatusCode
	}
	for _, client := range []string{"192.0.2.1", "192.0.2.2, 10.1.1.1", "2001:db8::1"} {
		if first, second := try(behind, client), try(behind, client); first != 401 || second != 429 {
			t.Errorf("%s: %d, then %d, want 401 and 429", client, first, second)
		}
	}
	if status := try(behind, "203.0.113.9, 192.0.2.1"); status != 429 {
		t.Errorf("a client escapes with a header of its own: %d", status)
	}
	direct := newService(t, func(o *api.Options) { o.AuthFailures = 1 })
	if first, second := try(direct, "192.0.2.1"), try(direct, "192.0.2.2"); first != 401 || second != 429 {
		t.Errorf("a client escapes with X-Forwarded-For: %d, then %d, want 401 and 429", first, second)
	}
}
