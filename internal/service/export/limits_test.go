package export_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// wantLimit checks that err says that the workspace has reached a limit.
func wantLimit(t *testing.T, err error, limit export.Limit, largest int64) {
	t.Helper()
	var reached *export.LimitError
	if !errors.As(err, &reached) || reached.Limit != limit || reached.Max != largest {
		t.Errorf("the error is %v, want the limit of %d %s", err, largest, limit)
	}
}

func tryCreate(t *testing.T, s *export.Store, workspaceID string) error {
	t.Helper()
	_, err := s.Create(t.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"})
	return err
}

func TestTwoStoresAdmitNoMoreExportsThanTheLimit(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	limits := export.Limits{Running: 2, Unfinished: 5}
	stores := []*export.Store{s.WithLimits(limits), s.WithLimits(limits)}
	var group sync.WaitGroup
	var refused atomic.Int64
	for i := range 20 {
		group.Go(func() {
			_, err := stores[i%2].Create(context.Background(), export.Export{WorkspaceID: tenant, Format: "json"})
			if err != nil {
				wantLimit(t, err, export.LimitUnfinished, 5)
				refused.Add(1)
			}
		})
	}
	group.Wait()
	var rows int
	if err := db.Get(&rows, `SELECT count(*) FROM memexport.exports`); err != nil {
		t.Fatal(err)
	}
	if rows != 5 || refused.Load() != 15 {
		t.Errorf("%d exports exist, and %d were refused", rows, refused.Load())
	}
	if err := tryCreate(t, stores[0], stranger); err != nil {
		t.Error("another workspace:", err)
	}
	fail(t, s, dispatched(t, db, tenant)[0])
	if err := tryCreate(t, stores[0], tenant); err != nil {
		t.Error("after one has ended:", err)
	}
	wantLimit(t, tryCreate(t, stores[1], tenant), export.LimitUnfinished, 5)
}

func TestARepeatedRequestIsNeverRefusedByALimit(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	key := "nightly"
	asked := export.Export{WorkspaceID: tenant, Format: "json", IdempotencyKey: &key}
	first, err := s.Create(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StoreFull(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	limited := s.WithLimits(export.Limits{Running: 1, Unfinished: 1, WorkspaceBytes: 1, Bytes: 1})
	if err := tryCreate(t, limited, tenant); !errors.Is(err, export.ErrStoreFull) {
		t.Errorf("a new request: %v", err)
	}
	again, err := limited.Create(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the export of the repeated request", again, first)
	asked.Format = "csv"
	if _, err := limited.Create(t.Context(), asked); !errors.Is(err, export.ErrKeyReused) {
		t.Errorf("other parameters: %v", err)
	}
}

// sized returns a part whose object has the given size in bytes.
func sized(size int64) export.Part {
	return export.Part{Part: archive.Part{Object: "o", Size: size}, Memories: 1, Last: memory.Key{ID: tenant}}
}

// process makes an export PROCESSING and records a part.
func process(t *testing.T, s *export.Store, id string, p export.Part) {
	t.Helper()
	if _, err := s.Start(t.Context(), id, plan); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), id, "", []export.Part{p}); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, s *export.Store, id string, f export.File) {
	t.Helper()
	if _, err := s.Publish(t.Context(), id, f, retention); err != nil {
		t.Fatal(err)
	}
}

func TestStoredBytesCountUntilTheyArePurged(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	s = s.WithLimits(export.Limits{WorkspaceBytes: 1000})
	e := create(t, s)
	process(t, s, e.ID, sized(999))
	other := create(t, s) // allowed: only 999 bytes are stored
	process(t, s, other.ID, sized(1))
	wantLimit(t, tryCreate(t, s, tenant), export.LimitStored, 1000)
	if err := tryCreate(t, s, stranger); err != nil {
		t.Error("another workspace:", err)
	}
	publish(t, s, e.ID, export.File{Parts: 1, Memories: 1, Size: 5000, SHA256: digest[:]}) // the compressed size, 999 bytes, counts
	wantLimit(t, tryCreate(t, s, tenant), export.LimitStored, 1000)
	fail(t, s, other.ID)
	wantLimit(t, tryCreate(t, s, tenant), export.LimitStored, 1000)
	if err := s.Purged(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	created := create(t, s)
	compressed := sized(1 << 40)
	compressed.CompressedSize = 1
	process(t, s, created.ID, compressed)
	wantLimit(t, tryCreate(t, s, tenant), export.LimitStored, 1000)
	if err := s.Expire(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	wantLimit(t, tryCreate(t, s, tenant), export.LimitStored, 1000)
	if err := s.Purged(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	create(t, s)
}

func TestAComposedFileCountsBesideItsParts(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	process(t, s, e.ID, sized(100))
	publish(t, s, e.ID, export.File{Parts: 1, Memories: 1, Size: 100, SHA256: digest[:], Object: "file"})
	if err := tryCreate(t, s.WithLimits(export.Limits{WorkspaceBytes: 201}), tenant); err != nil {
		t.Error(err)
	}
	wantLimit(t, tryCreate(t, s.WithLimits(export.Limits{WorkspaceBytes: 200}), tenant), export.LimitStored, 200)
}

func TestAnExportFromBeforeTheMigrationCountsWithTheSizeOfItsFile(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	in(t, s, export.Ready)
	db.MustExec(`UPDATE memexport.exports SET stored_bytes = NULL`)
	wantLimit(t, tryCreate(t, s.WithLimits(export.Limits{WorkspaceBytes: file.Size}), tenant), export.LimitStored, file.Size)
	if err := tryCreate(t, s.WithLimits(export.Limits{WorkspaceBytes: file.Size + 1}), tenant); err != nil {
		t.Error(err)
	}
}

func TestWaitingExportsFailWhenTheirWorkspaceHasStoredAsMuchAsItMay(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	s = s.WithLimits(export.Limits{Running: 1, WorkspaceBytes: 1000})
	ids := createN(t, s, 3)
	other := createIn(t, s, stranger)
	waiting := createIn(t, s, stranger)
	process(t, s, ids[0], sized(1000))
	publish(t, s, ids[0], export.File{Parts: 1, Memories: 1, Size: 1000, SHA256: digest[:]})
	equal(t, "what is claimed", claim(t, s, tenant), []string(nil))
	for _, id := range ids[1:] {
		if e := find(t, s, id); e.Status != export.Failed || e.Failure.Code != export.CodeStorageLimit || e.CompletedAt == nil {
			t.Errorf("%+v, %+v", e, e.Failure)
		}
	}
	fail(t, s, other.ID)
	equal(t, "what is claimed for another workspace", claim(t, s, stranger), []string{waiting.ID})
}

func TestAFullStoreTakesNoExportsAndHoldsThoseThatWait(t *testing.T) {
	t.Parallel()
	fresh, db := open(t)
	// Every call returns a store with an empty cache, which queries the database again.
	store := func(limits export.Limits) *export.Store { return fresh.WithLimits(limits) }
	one := export.Limits{Running: 1}
	ids := createN(t, store(one), 2)
	process(t, fresh, ids[0], sized(1000))

	if err := tryCreate(t, store(export.Limits{Bytes: 1001}), stranger); err != nil {
		t.Error("below the limit:", err)
	}
	if err := tryCreate(t, store(export.Limits{Bytes: 1000}), stranger); !errors.Is(err, export.ErrStoreFull) {
		t.Errorf("at the limit: %v", err)
	}
	if err := fresh.StoreFull(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := tryCreate(t, store(one), stranger); !errors.Is(err, export.ErrStoreFull) {
		t.Errorf("after a refusal of the store: %v", err)
	}
	equal(t, "what is claimed while no place is free", claim(t, store(one), tenant), []string(nil))
	equal(t, "what is claimed for a workspace in which nothing waits", claim(t, store(export.Limits{}), stranger), []string(nil))
	two := export.Limits{Running: 2}
	if claimed, err := store(two).Claim(t.Context(), tenant); !errors.Is(err, export.ErrStoreFull) || len(claimed) != 0 {
		t.Errorf("%v was claimed: %v", claimed, err)
	}
	db.MustExec(`UPDATE memexport.exports SET store_full_at = now() - interval '121 seconds' WHERE id = $1`, ids[0])
	if err := tryCreate(t, store(one), stranger); err != nil {
		t.Error("two minutes later:", err)
	}
	if err := fresh.StoreFull(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	fail(t, fresh, ids[0])
	equal(t, "what is claimed after the end", claim(t, store(one), tenant), ids[1:])
}

// If a process did not remember this, it would query the database for each request of a burst.
func TestAProcessRemembersForFiveSecondsThatTheStoreHasRoom(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	asked := time.Now()
	e := create(t, s)
	if err := s.StoreFull(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	err := tryCreate(t, s, tenant)
	if tooSlow := time.Since(asked) > 5*time.Second; err != nil && !tooSlow { // a busy machine proves nothing
		t.Errorf("it asked again: %v", err)
	}
}
