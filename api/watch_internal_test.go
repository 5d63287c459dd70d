package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"memexport/internal/service/export"
)

// awaiting starts n requests that wait for an export. The function that it returns waits until all of them
// have ended and returns their results.
func awaiting(t *testing.T, w *watchers, n int, workspaceID string, e export.Export) func() (exports []export.Export, errs []error) {
	t.Helper()
	exports, errs := make([]export.Export, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { exports[i], errs[i] = w.await(t.Context(), workspaceID, e, time.Minute) })
	}
	for deadline := time.Now().Add(20 * time.Second); w.waiting() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the requests do not wait")
		}
	}
	return func() ([]export.Export, []error) {
		group.Wait()
		return exports, errs
	}
}

// waiting returns how many requests are waiting.
func (w *watchers) waiting() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, shared := range w.running {
		n += shared.waiters
	}
	return n
}

func TestRequestsThatWaitForOneExportShareItsReads(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	var status atomic.Value
	status.Store(export.Processing)
	w := newWatchers(func(_ context.Context, workspaceID, id string) (export.Export, error) {
		reads.Add(1)
		return export.Export{ID: id, WorkspaceID: workspaceID, Status: status.Load().(export.Status)}, nil // CreatedAt is the year 1, so the export is read only twice a second
	})
	end := awaiting(t, w, 500, "w1", export.Export{ID: "e", Status: export.Processing, CreatedAt: time.Now()})
	time.Sleep(1200 * time.Millisecond)
	status.Store(export.Ready)
	exports, errs := end()
	for i, e := range exports {
		if errs[i] != nil || e.Status != export.Ready {
			t.Fatalf("%+v, %v", e, errs[i])
		}
	}
	if n := reads.Load(); n > 10 {
		t.Errorf("500 requests read the export %d times in two seconds", n)
	}
	if len(w.running) > 0 {
		t.Errorf("%d watchers are left", len(w.running))
	}
}

func TestAWatcherReadsForOneWorkspaceOnly(t *testing.T) {
	t.Parallel()
	w := newWatchers(func(_ context.Context, workspaceID, id string) (export.Export, error) {
		if workspaceID != "owner" {
			return export.Export{}, export.ErrNotFound
		}
		return export.Export{ID: id, Status: export.Ready}, nil
	})
	pending := export.Export{ID: "e", Status: export.Pending}
	stranger := awaiting(t, w, 1, "stranger", pending)
	owner := awaiting(t, w, 1, "owner", pending)
	if exports, errs := owner(); errs[0] != nil || exports[0].Status != export.Ready {
		t.Errorf("the owner gets %+v, %v", exports[0], errs[0])
	}
	if exports, errs := stranger(); !errors.Is(errs[0], export.ErrNotFound) {
		t.Errorf("the stranger gets %+v, %v", exports[0], errs[0])
	}
}

func TestAWatcherStopsWithTheLastRequest(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	w := newWatchers(func(ctx context.Context, _, _ string) (export.Export, error) {
		<-ctx.Done()
		close(stopped)
		return export.Export{}, ctx.Err()
	})
	pending := export.Export{ID: "e", Status: export.Pending, CreatedAt: time.Now()}
	e, err := w.await(t.Context(), "w", pending, 200*time.Millisecond)
	if err != nil || e.Status != export.Pending {
		t.Errorf("%+v, %v", e, err)
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second): // this is less than storeTimeout, after which the read would end anyway
		t.Error("the watcher goes on")
	}
}

func TestTheEndOfTheWatchersEndsEveryWait(t *testing.T) {
	t.Parallel()
	w := newWatchers(func(_ context.Context, _, id string) (export.Export, error) {
		return export.Export{ID: id, Status: export.Processing, CreatedAt: time.Now()}, nil
	})
	pending := export.Export{ID: "e", Status: export.Pending, CreatedAt: time.Now()}
	waited := awaiting(t, w, 10, "w", pending)
	w.end()
	exports, errs := waited()
	for i, e := range exports {
		if errs[i] != nil || e.Status.Terminal() {
			t.Errorf("a request that waits gets %+v, %v", e, errs[i])
		}
	}
	start := time.Now()
	e, err := w.await(t.Context(), "w", pending, time.Minute)
	if took := time.Since(start); err != nil || e.Status != export.Pending || took > 10*time.Second {
		t.Errorf("a later request gets %+v, %v after %s", e, err, took)
	}
	if len(w.running) > 0 {
		t.Errorf("%d watchers are left", len(w.running))
	}
}
