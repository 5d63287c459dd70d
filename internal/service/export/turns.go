package export

import (
	"context"
	"sync"
)

// turns serializes callers that have the same key. A caller takes its turn before it waits for the
// advisory lock of its workspace, because it holds a connection while it waits for the lock. Without
// turns, many requests for one workspace would occupy all connections of the process.
type turns struct {
	mu    sync.Mutex
	byKey map[string]*turn
}

type turn struct {
	taken chan struct{} // holds a value while a caller has the turn
	users int           // callers that have the turn or wait for it; guarded by turns.mu
}

// take waits until no other caller has the turn for key, or ctx ends. If it returns no error, the
// caller must call done at the end of its turn.
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
