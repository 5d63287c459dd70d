package activities_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// orphan writes an object of an export, as an attempt would that nobody waits for.
func (h *house) orphan(id string, age time.Duration) {
	h.Helper()
	part, err := h.Archive.Put(h.Context(), id, 9, 9, []byte("orphan"))
	if err != nil {
		h.Fatal(err)
	}
	written := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(h.dir, filepath.FromSlash(part.Object)), written, written); err != nil {
		h.Fatal(err)
	}
}

func (h *house) sweep() int {
	h.Helper()
	return must[int](h, h.Sweep, nil)
}

func TestSweepDeletesOldOrphansOnly(t *testing.T) {
	const old, young = 25 * time.Hour, 23 * time.Hour
	h := newHouse(t)
	h.fill(20)
	live, purged, recent := h.published(format.JSON), h.published(format.JSON), h.published(format.JSON)
	running, _ := h.started(format.JSON)
	for _, id := range []string{purged, recent} {
		must[any](h, h.Expire, h.ref(id))
		must[any](h, h.Purge, h.ref(id))
	}
	unknownOld, unknownYoung := uuid.NewString(), uuid.NewString()
	for id, age := range map[string]time.Duration{
		unknownOld: old, unknownYoung: young, purged: old, recent: young, live: old, running: old,
	} {
		h.orphan(id, age)
	}
	h.orphan(unknownYoung, old) // it has an object of each age
	h.orphan(unknownYoung, young)
	if swept := h.sweep(); swept != 2 {
		t.Errorf("%d exports were swept", swept)
	}
	for id, want := range map[string]int{unknownOld: 0, purged: 0, unknownYoung: 1, recent: 1, live: 2, running: 1} {
		if got := h.objects(id); got != want {
			t.Errorf("of %s %d objects are left, not %d", id, got, want)
		}
	}
	h.wantFile(live, format.JSON)
	h.wantStatus(live, export.Ready)
	if swept := h.sweep(); swept != 0 {
		t.Errorf("the second sweep deleted those of %d exports", swept)
	}
}

// Somebody's directory between the exports must not keep the sweep from its work.
func TestSweepLeavesAloneWhatIsNoExport(t *testing.T) {
	h := newHouse(t)
	unknown := uuid.NewString()
	h.orphan(unknown, 25*time.Hour)
	h.orphan("00-notes", 25*time.Hour)
	if swept := h.sweep(); swept != 1 {
		t.Errorf("%d exports were swept", swept)
	}
	if h.objects(unknown) != 0 || h.objects("00-notes") != 1 {
		t.Error("the wrong objects are gone")
	}
}

func TestSweepOfAnEmptyBucketDoesNothing(t *testing.T) {
	if swept := newHouse(t).sweep(); swept != 0 {
		t.Errorf("%d exports were swept", swept)
	}
}
