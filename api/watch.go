package api

import (
	"context"
	"sync"
	"time"

	"memexport/internal/service/export"
)

// watchers read the exports that requests wait for. However many requests wait for an export, one
// goroutine reads it. It runs while somebody waits.
type watchers struct {
	find func(ctx context.Context, workspaceID, id string) (export.Export, error)

	mu      sync.Mutex
	running map[watched]*watcher
}

// watched says which export to read, and for which workspace: the database compares both.
type watched struct{ workspaceID, id string }

// watcher is what the requests that wait for one export share. The lock of watchers guards it.
type watcher struct {
	waiters int
	stop    context.CancelFunc
	ended   chan struct{} // closed when the export is terminal, or could not be read
	reads   int           // since the watcher started
	latest  export.Export
	err     error
}

func newWatchers(find func(ctx context.Context, workspaceID, id string) (export.Export, error)) *watchers {
	return &watchers{find: find, running: map[watched]*watcher{}}
}

// await returns the export e of a workspace when it is terminal, when wait is over, or when ctx ends.
// The caller has just read e with the workspace in the predicate.
func (w *watchers) await(ctx context.Context, workspaceID string, e export.Export, wait time.Duration) (export.Export, error) {
	if e.Status.Terminal() {
		return e, nil
	}
	of := watched{workspaceID, e.ID}
	shared, before := w.join(of, e)
	defer w.leave(of, shared)
	over := time.NewTimer(wait)
	defer over.Stop()
	select {
	case <-ctx.Done(): // the client went away
	case <-over.C:
	case <-shared.ended:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if shared.reads == before { // e is newer than what the watcher has
		return e, nil
	}
	return shared.latest, shared.err
}

// join returns the watcher of an export and how often it has read the export until now.
func (w *watchers) join(of watched, e export.Export) (shared *watcher, reads int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shared = w.running[of]
	if shared == nil {
		ctx, stop := context.WithCancel(context.Background())
		shared = &watcher{stop: stop, ended: make(chan struct{}), latest: e}
		w.running[of] = shared
		go w.watch(ctx, of, shared, e)
	}
	shared.waiters++
	return shared, shared.reads
}

// leave stops the watcher if nobody waits for it any more.
func (w *watchers) leave(of watched, shared *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if shared.waiters--; shared.waiters == 0 {
		shared.stop()
		if w.running[of] == shared {
			delete(w.running, of)
		}
	}
}

// watch reads an export again and again until it is terminal, cannot be read, or ctx ends.
func (w *watchers) watch(ctx context.Context, of watched, shared *watcher, e export.Export) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval(e)):
		}
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		latest, err := w.find(bounded, of.workspaceID, of.id)
		cancel()
		if ctx.Err() != nil {
			return
		}
		e = latest
		if w.publish(of, shared, latest, err) {
			return
		}
	}
}

// publish gives the waiting requests what was read, and reports whether that was the last time.
func (w *watchers) publish(of watched, shared *watcher, latest export.Export, err error) (ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shared.reads++
	shared.latest, shared.err = latest, err
	if err == nil && !latest.Status.Terminal() {
		return false
	}
	close(shared.ended)
	if w.running[of] == shared { // a request that comes now starts with a watcher of its own
		delete(w.running, of)
	}
	return true
}

// pollInterval returns how long a watcher pauses before it reads the row again. It is a twentieth of
// the export's age, so that the answer is late by a twentieth of the export's time at most; at least
// 5 ms, to spare the database; and at most 500 ms, to be quick for long exports too.
func pollInterval(e export.Export) time.Duration {
	return min(max(time.Since(e.CreatedAt)/20, 5*time.Millisecond), 500*time.Millisecond)
}
