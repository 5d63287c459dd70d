package export

import (
	"context"
	"sync"
)

// turns lets one caller at a time work for each key. Callers that need the same lock in the database
// take turns here first: each of them would hold a connection while it waits there, and a flood of one
// workspace would take all connections of the process.
type turns struct {
	mu    sync.Mutex
	byKey map[string]*turn
}

type turn struct {
	taken chan struct{} // holds a value while a caller has the turn
	users int           // callers that have the turn or wait for it; guarded by turns.mu
}

// take waits until it is the caller's turn, or ctx ends. The caller must call done in the end.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	if t.byKey == nil {
		t.byKey = map[string]*turn{}
	}
	mine := t.byKey[key]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, 1)}
		t.byKey[key] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.byKey, key)
		}
	}
	select {
	case mine.taken <- struct{}{}:
		return func() { <-mine.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
