package reconcile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
)

const (
	old   = 25 * time.Hour // older than the default of Activities.OrphanAge
	young = 23 * time.Hour
)

// orphan stores an object under an export's id without recording it, as a late attempt would.
func (f *fixture) orphan(id string, age time.Duration) {
	f.Helper()
	part, err := f.archive.Put(f.Context(), id, 9, 9, []byte(age.String())) // the content, and so the object's key, is different for each age
	if err != nil {
		f.Fatal(err)
	}
	written := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(f.dir, filepath.FromSlash(part.Object)), written, written); err != nil {
		f.Fatal(err)
	}
}

func TestSweepDeletesOldOrphansOnly(t *testing.T) {
	f := newFixture(t)
	live, purged, recent, running := f.published(), f.purged(), f.purged(), f.processing()
	unknownOld, unknownYoung := uuid.NewString(), uuid.NewString()
	for id, age := range map[string]time.Duration{
		unknownOld: old, purged: old, recent: young, live: old, running: old,
	} {
		f.orphan(id, age)
	}
	f.orphan(unknownYoung, old) // this id also gets a young object, and only the age of the newest object counts
	f.orphan(unknownYoung, young)
	if swept := f.sweep(); swept != 2 {
		t.Errorf("the objects of %d exports were deleted, want 2", swept)
	}
	for id, want := range map[string]int{unknownOld: 0, purged: 0, unknownYoung: 2, recent: 1, live: 3, running: 1} {
		if got := f.objects(id); got != want {
			t.Errorf("export %s has %d objects, want %d", id, got, want)
		}
	}
	f.wantWhole(live)
	if swept := f.sweep(); swept != 0 {
		t.Errorf("the second sweep deleted the objects of %d exports", swept)
	}
}

// A worker writes a probe when it starts. If it is killed at that moment, the driver's temporary file stays.
func TestSweepDeletesOldProbes(t *testing.T) {
	f := newFixture(t)
	for name, age := range map[string]time.Duration{"old.0123456789abcdef.tmp": old, "young.0123456789abcdef.tmp": young} {
		path, written := filepath.Join(f.dir, "memexport-probe", name), time.Now().Add(-age)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("probe"), 0o600), os.Chtimes(path, written, written)); err != nil {
			t.Fatal(err)
		}
	}
	f.sweep()
	left, err := os.ReadDir(filepath.Join(f.dir, "memexport-probe"))
	if err != nil || len(left) != 1 || left[0].Name() != "young.0123456789abcdef.tmp" {
		t.Errorf("these probes are left: %v, %v", left, err)
	}
}

func TestSweepGoesOnAfterAnExportThatItCannotDelete(t *testing.T) {
	f := newFixture(t)
	var refused []string // more than the sweep tolerates from a store that is away
	for i := range 5 {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		f.orphan(id, old)
		// A directory that cannot be removed stands in for an object under a legal hold.
		if err := os.MkdirAll(filepath.Join(f.dir, "exports", id, "kept"), 0o700); err != nil {
			t.Fatal(err)
		}
		refused = append(refused, id)
	}
	last := "ffffffff-ffff-4fff-bfff-ffffffffffff"
	f.orphan(last, old)
	probe, written := filepath.Join(f.dir, "memexport-probe", "old.tmp"), time.Now().Add(-old)
	if err := errors.Join(os.MkdirAll(filepath.Dir(probe), 0o700), os.WriteFile(probe, []byte("probe"), 0o600), os.Chtimes(probe, written, written)); err != nil {
		t.Fatal(err)
	}
	_, err := try[int](f, f.activities.Sweep)
	var typed *temporal.ApplicationError
	if !errors.As(err, &typed) || typed.Type() != attempt.TypeSweepIncomplete || !typed.NonRetryable() ||
		!strings.Contains(typed.Message(), refused[0]) || !strings.Contains(typed.Message(), "4 other exports") {
		t.Errorf("the error is %v, want a final %s that names the first export", err, attempt.TypeSweepIncomplete)
	}
	if f.objects(last) != 0 {
		t.Error("the last orphan is still there")
	}
	if _, err := os.Stat(probe); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the old probe is still there:", err)
	}
}

func TestSweepKeepsForeignFoldersAndGoesOn(t *testing.T) {
	f := newFixture(t)
	unknown := uuid.NewString()
	f.orphan(unknown, old)
	f.orphan("00-notes", old)
	if swept := f.sweep(); swept != 1 {
		t.Errorf("the objects of %d exports were deleted, want 1", swept)
	}
	if f.objects(unknown) != 0 || f.objects("00-notes") != 1 {
		t.Error("the wrong objects were deleted")
	}
}

func TestSweepOfAnEmptyBucketDoesNothing(t *testing.T) {
	if swept := newFixture(t).sweep(); swept != 0 {
		t.Errorf("the objects of %d exports were deleted", swept)
	}
}

func TestSweepNamesWhatIsAway(t *testing.T) {
	f := newFixture(t)
	f.orphan(uuid.NewString(), old)
	f.db.MustExec(`ALTER TABLE memexport.exports RENAME COLUMN sha256 TO away`) // this makes Find fail, but not sweepRows
	f.wantSweepError(attempt.TypeDatabaseUnavailable)
	f.db.MustExec(`ALTER TABLE memexport.exports RENAME COLUMN away TO sha256`)
	f.db.MustExec(`ALTER TABLE memexport.exports RENAME TO away`)
	f.wantSweepError(attempt.TypeDatabaseUnavailable)
	f.db.MustExec(`ALTER TABLE memexport.away RENAME TO exports`)
	exports := filepath.Join(f.dir, "exports") // a file in its place cannot be listed
	if err := errors.Join(os.Rename(exports, exports+".away"), os.WriteFile(exports, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f.wantSweepError(attempt.TypeStorageUnavailable)
}

func (f *fixture) wantSweepError(kind string) {
	f.Helper()
	_, err := try[int](f, f.activities.Sweep)
	var typed *temporal.ApplicationError
	if !errors.As(err, &typed) || typed.Type() != kind || typed.NonRetryable() {
		f.Errorf("the error is %v, want a retryable %s", err, kind)
	}
}
