//go:build stores

package erasure_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/storetest"
)

func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	t.Run("s3", func(t *testing.T) {
		faults := storetest.New(t, "s3").NewFaults(t)
		s := newSite(t, faults.URL())
		var uploads held
		faults.Set(uploads.hold)
		t.Cleanup(uploads.release)
		one, other := s.create(), s.create()
		for _, e := range []export.Export{one, other} { // Plan does not write so many memories
			s.db.MustExec(`INSERT INTO memories (id, memory, priority, status, workspace_id, created_at)
				SELECT gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1, now() - i * interval '1 second' FROM generate_series(1, 20000) i`, e.WorkspaceID)
		}
		s.db.MustExec(`ANALYZE memories`)
		t.Run("terminated_and_erased", func(t *testing.T) {
			t.Parallel()
			erasesWhileUploading(s.in(t), &uploads, one, func(*site, export.Export) {})
		})
		t.Run("terminated_purged_and_erased", func(t *testing.T) {
			t.Parallel()
			erasesWhileUploading(s.in(t), &uploads, other, (*site).settle)
		})
	})
}

// erasesWhileUploading erases the workspace of an export while WriteRange uploads a part for a workflow that was
// terminated. The store gets the part after the erasure, unless the worker has given up by then.
func erasesWhileUploading(s *site, uploads *held, e export.Export, afterTerminate func(*site, export.Export)) {
	s.must(s.starter.Start(s.Context(), e))
	await.True(s.T, patience, "WriteRange uploads a part", func() bool { return uploads.of(e) != nil })
	pending := s.describe(e).GetPendingActivities()
	if len(pending) != 1 || pending[0].GetActivityType().GetName() != "WriteRange" {
		s.Fatalf("the activities are %v", pending)
	}
	s.terminate(e)
	afterTerminate(s, e)
	ids, err := s.eraser(func(message string) { s.Log(message) }).Erase(s.Context(), e.WorkspaceID)
	if err != nil || len(ids) != 1 {
		s.Errorf("erased were %v: %v", ids, err)
	}
	late := uploads.of(e)
	late.release()
	<-late.ctx.Done()
	if n, err := s.archive.Count(s.Context(), e.ID); err != nil || n > 0 {
		s.Errorf("%d objects were written after the erasure: %v", n, err)
	}
}

// held are uploads that the store does not get until they are released or the client gives up.
type held struct {
	mu      sync.Mutex
	uploads []*upload
}

type upload struct {
	path    string
	ctx     context.Context // ends with the upload
	release func()
}

// hold is for Faults.Set.
func (h *held) hold(r *http.Request) storetest.Fault {
	if r.Method != http.MethodPut {
		return storetest.Fault{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	until := make(chan struct{})
	h.uploads = append(h.uploads, &upload{r.URL.Path, r.Context(), sync.OnceFunc(func() { close(until) })})
	return storetest.Fault{Until: until}
}

// release releases all uploads.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.uploads {
		u.release()
	}
}

// of returns the upload for an export, or nil.
func (h *held) of(e export.Export) *upload {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.uploads {
		if strings.Contains(u.path, e.ID) {
			return u
		}
	}
	return nil
}
