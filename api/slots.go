package api

import (
	"fmt"
	"sync"
)

// slots limits how many requests of one kind are served at the same time.
type slots struct {
	name      string // the name of the limit in the field RateLimit-Policy
	what      string // the requests that are limited, such as "downloads"; messages contain this word
	max       int    // for all keys together; 0 means any number
	maxPerKey int    // 0 means any number

	mu     sync.Mutex
	taken  int
	perKey map[string]int // slots in use, by the key's id; contains no zeros
}

func newSlots(name, what string, max, maxPerKey int) *slots {
	return &slots{name: name, what: what, max: max, maxPerKey: maxPerKey, perKey: map[string]int{}}
}

// take takes a slot for a request of the key with this id. It returns a function that frees the slot, or,
// if no slot is free, the problem to answer with.
func (s *slots) take(keyID string) (release func(), refusal *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maxPerKey > 0 && s.perKey[keyID] >= s.maxPerKey {
		p := newProblem(codeRateLimited)
		p.Detail += fmt.Sprintf(" The limit is %d %s at once for each key.", s.maxPerKey, s.what)
		return nil, p.with("RateLimit", fmt.Sprintf("%q;r=0;t=1", s.name)).
			with("RateLimit-Policy", fmt.Sprintf("%q;q=%d", s.name, s.maxPerKey))
	}
	if s.max > 0 && s.taken >= s.max {
		p := newProblem(codeUnavailable)
		p.Detail = fmt.Sprintf("The server has as many %s as it can serve at once. Try again later.", s.what)
		return nil, p
	}
	s.taken++
	s.perKey[keyID]++
	return sync.OnceFunc(func() { s.release(keyID) }), nil
}

func (s *slots) release(keyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.perKey[keyID]--; s.perKey[keyID] == 0 {
		delete(s.perKey, keyID)
	}
}
