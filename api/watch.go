package api

import (
	"context"
	"sync"
	"time"

	"memexport/internal/service/export"
)

// watchers watch exports for the requests that wait for them. For each export, only one goroutine reads
// the row, however many requests wait. The goroutine ends when no request waits any more.
type watchers struct {
	find func(ctx context.Context, workspaceID, id string) (export.Export, error)
	done chan struct{} // closed by end

	mu      sync.Mutex
	running map[watched]*watcher
}

// watched names the export to read and its workspace. The query requires both to match.
type watched struct{ workspaceID, id string }

// watcher is the state that all requests waiting for one export share. It is guarded by watchers.mu.
type watcher struct {
	waiters int
	stop    context.CancelFunc
	ended   chan struct{} // closed when the export is terminal or could not be read
	reads   int           // how often the export has been read since the watcher started
	latest  export.Export
	err     error
}

func newWatchers(find func(ctx context.Context, workspaceID, id string) (export.Export, error)) *watchers {
	return &watchers{find: find, done: make(chan struct{}), running: map[watched]*watcher{}}
}

// end ends every wait, and later calls of await return at once. Call it only once.
func (w *watchers) end() { close(w.done) }

// await waits until the export e is terminal, wait has passed, ctx ends, or end is called. It returns the
// latest state of the export. The caller must have read e just now and checked that it belongs to the
// workspace.
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
	case <-ctx.Done(): // the client has gone away
	case <-over.C:
	case <-w.done:
	case <-shared.ended:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if shared.reads == before { // there was no read since await began, so e is newer than shared.latest
		return e, nil
	}
	return shared.latest, shared.err
}

// join adds a waiter to the watcher of an export, and starts the watcher if there is none. It also returns
// how often the watcher has read the export so far.
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

// leave removes a waiter, and stops the watcher if that was the last one.
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

// watch reads an export repeatedly until it is terminal, cannot be read, or ctx ends.
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

// publish gives the result of a read to the waiting requests. It returns true if the watcher must stop,
// because the export is terminal or could not be read.
func (w *watchers) publish(of watched, shared *watcher, latest export.Export, err error) (ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shared.reads++
	shared.latest, shared.err = latest, err
	if err == nil && !latest.Status.Terminal() {
		return false
	}
	close(shared.ended)
	if w.running[of] == shared { // a later request starts a new watcher
		delete(w.running, of)
	}
	return true
}

// pollInterval returns how long a watcher pauses before it reads the row again. The pause is a twentieth
// of the export's age, so clients learn the result at most 5% late. It is at least 5 ms, to spare the
// database, and at most 500 ms, so that the results of long exports also arrive soon.
func pollInterval(e export.Export) time.Duration {
	return min(max(time.Since(e.CreatedAt)/20, 5*time.Millisecond), 500*time.Millisecond)
}
