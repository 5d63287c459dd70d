package api

import (
	"context"
	"fmt"
	"sync"

	"memexport/internal/service/metrics"
)

// slots limits how many requests of one kind are served at the same time.
type slots struct {
	name      string // the name of the limit in the field RateLimit-Policy
	what      string // the requests that are limited, such as "downloads"; messages contain this word
	max       int    // for all keys together; 0 means any number
	maxPerKey int    // 0 means any number

	inFlight *metrics.InFlight // counts the slots in use
	reached  [2]string         // the labels in the metric LimitsHit for max and maxPerKey

	mu     sync.Mutex
	taken  int
	perKey map[string]int // slots in use, by the key's id; contains no zeros
}

func newLongPolls(max, maxPerKey int) *slots {
	return &slots{name: "long-polls", what: "requests that wait", max: max, maxPerKey: maxPerKey, perKey: map[string]int{},
		inFlight: metrics.LongPollsInFlight, reached: [2]string{metrics.LimitLongPolls, metrics.LimitLongPollsPerKey}}
}

func newDownloads(max, maxPerKey int) *slots {
	return &slots{name: "downloads", what: "downloads", max: max, maxPerKey: maxPerKey, perKey: map[string]int{},
		inFlight: metrics.DownloadsInFlight, reached: [2]string{metrics.LimitDownloads, metrics.LimitDownloadsPerKey}}
}

// take takes a slot for a request of the key with this id. It returns a function that frees the slot, or,
// if no slot is free, the problem to answer with.
func (s *slots) take(ctx context.Context, keyID string) (release func(), refusal *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maxPerKey > 0 && s.perKey[keyID] >= s.maxPerKey {
		metrics.LimitsHit.Add(ctx, 1, s.reached[1])
		p := newProblem(codeRateLimited)
		p.Detail += fmt.Sprintf(" The limit is %d %s at once for each key.", s.maxPerKey, s.what)
		return nil, p.with("RateLimit", fmt.Sprintf("%q;r=0;t=1", s.name)).
			with("RateLimit-Policy", fmt.Sprintf("%q;q=%d", s.name, s.maxPerKey))
	}
	if s.max > 0 && s.taken >= s.max {
		metrics.LimitsHit.Add(ctx, 1, s.reached[0])
		p := newProblem(codeUnavailable)
		p.Detail = fmt.Sprintf("The server has as many %s as it can serve at once. Try again later.", s.what)
		return nil, p
	}
	s.taken++
	s.perKey[keyID]++
	end := s.inFlight.Begin(ctx)
	return sync.OnceFunc(func() {
		s.release(keyID)
		end()
	}), nil
}

func (s *slots) release(keyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.perKey[keyID]--; s.perKey[keyID] == 0 {
		delete(s.perKey, keyID)
	}
}
