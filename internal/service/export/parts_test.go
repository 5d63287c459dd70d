package export_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

func TestPartsReturnsWhatWasRecordedInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	if _, err := s.Start(t.Context(), e.ID, plan); err != nil {
		t.Fatal(err)
	}
	want := []export.Part{part(0, 0, "a"), part(0, 1, "b"), part(0, 2, "c"), part(1, 0, "d"), part(1, 1, "e")}
	record(t, s, e.ID, "", want[3:])
	record(t, s, e.ID, "", want[:1])
	record(t, s, e.ID, "a", want[1:3])
	record(t, s, e.ID, "c", nil)
	all, err := s.Parts(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the whole export", all, want)
	for number, want := range map[int][]export.Part{0: want[:3], 1: want[3:], 2: nil} {
		got, err := s.PartsOfRange(t.Context(), e.ID, number)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("range %d", number), got, want)
	}
	counted := export.Count(all[:2]).Plus(export.Count(all[2:]))
	equal(t, "the sum of two counts", counted, export.Written{Parts: 5, Memories: 50, Bytes: 5 << 40})
}

// record records parts that follow the object previous.
func record(t *testing.T, s *export.Store, id, previous string, parts []export.Part) {
	t.Helper()
	if err := s.Record(t.Context(), id, previous, parts); err != nil {
		t.Fatal(err)
	}
}

// A fail-over of Postgres can lose the last commits, and a caller may not notice that it has happened. Other callers
// may have recorded the lost part anew, with other memories.
func TestAPartIsOnlyRecordedAfterTheOneThatItsCallerKnows(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e, other := in(t, s, export.Processing), in(t, s, export.Processing) // with the part "a" of range 0
	record(t, s, e.ID, "a", []export.Part{part(0, 1, "b")})
	record(t, s, other.ID, "a", []export.Part{part(0, 1, "lost")})
	record(t, s, e.ID, "", []export.Part{part(1, 0, "c"), part(1, 1, "lost")})
	for name, refused := range map[string]struct {
		previous string
		parts    []export.Part
	}{
		"after a lost part":                   {"lost", []export.Part{part(0, 3, "d")}},
		"after a part that was recorded anew": {"lost", []export.Part{part(0, 2, "d")}},
		"after an earlier part":               {"a", []export.Part{part(0, 2, "d")}},
		"after no part":                       {"", []export.Part{part(0, 2, "d")}},
		"with a gap":                          {"b", []export.Part{part(0, 2, "d"), part(0, 4, "e")}},
		"in the wrong order":                  {"b", []export.Part{part(0, 3, "e"), part(0, 2, "d")}},
	} {
		before := row(t, db, e.ID)
		if err := s.Record(t.Context(), e.ID, refused.previous, refused.parts); !errors.Is(err, export.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
		equal(t, "the export "+name, row(t, db, e.ID), before)
	}
	record(t, s, e.ID, "b", []export.Part{part(0, 2, "d"), part(0, 3, "e")})
}

// A part may be lost after an attempt of Publish has counted the parts.
func TestAnExportWithoutOneOfItsPartsIsNotPublished(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := in(t, s, export.Processing)
	twoParts := file
	twoParts.Parts, twoParts.Memories = 2, 20
	before := row(t, db, e.ID)
	if _, err := s.Publish(t.Context(), e.ID, twoParts, retention); !errors.Is(err, export.ErrConflict) {
		t.Error(err)
	}
	equal(t, "the export", row(t, db, e.ID), before)
	record(t, s, e.ID, "a", []export.Part{part(0, 1, "b")})
	if _, err := s.Publish(t.Context(), e.ID, twoParts, retention); err != nil {
		t.Error(err)
	}
}

func TestFooterEntriesBelongToTheseParts(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e, other := in(t, s, export.Processing), in(t, s, export.Processing)
	entry := func(number, i int) export.Part {
		p := part(number, i, fmt.Sprint(number, " ", i))
		p.FooterEntry = []byte(p.Object)
		return p
	}
	record(t, s, e.ID, "", []export.Part{entry(1, 0), entry(1, 1)})
	record(t, s, e.ID, "a", []export.Part{entry(0, 1)})
	record(t, s, other.ID, "a", []export.Part{entry(0, 1)})
	parts, err := s.Parts(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := [][]byte{nil, []byte("0 1"), []byte("1 0"), []byte("1 1")} // the function in has recorded a part without an entry
	for _, span := range [][2]int{{0, 4}, {0, 1}, {1, 3}, {3, 4}} {
		entries, err := s.FooterEntries(t.Context(), e.ID, parts[span[0]:span[1]])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint("the entries ", span), entries, all[span[0]:span[1]])
	}
	if _, err := s.FooterEntries(t.Context(), e.ID, append(parts[:2:2], parts[3])); err == nil {
		t.Error("entries are returned although a part is missing")
	}
}

func TestNothingIsAddedToACompleteRange(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := in(t, s, export.Processing) // with one part of range 0
	complete := func(number int, want bool) {
		t.Helper()
		got, err := s.RangeComplete(t.Context(), e.ID, number)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("whether range %d is complete", number), got, want)
	}
	for _, wrong := range []int{0, 2} {
		if err := s.CompleteRange(t.Context(), e.ID, 0, wrong); !errors.Is(err, export.ErrConflict) {
			t.Errorf("completed by an attempt that counts %d parts: %v", wrong, err)
		}
	}
	complete(0, false)
	for range 2 {
		if err := s.CompleteRange(t.Context(), e.ID, 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	complete(0, true)
	complete(1, false)
	if err := s.Record(t.Context(), e.ID, "a", []export.Part{part(0, 1, "late")}); !errors.Is(err, export.ErrConflict) {
		t.Errorf("a part of a complete range: %v", err)
	}
	if err := s.Record(t.Context(), e.ID, "", []export.Part{part(1, 0, "b")}); err != nil {
		t.Error("a part of another range:", err)
	}
	fail(t, s, e.ID)
	if err := s.CompleteRange(t.Context(), e.ID, 1, 1); !errors.Is(err, export.ErrConflict) {
		t.Errorf("completed after the export has failed: %v", err)
	}
	if err := s.CompleteRange(t.Context(), tenant, 0, 0); !errors.Is(err, export.ErrNotFound) {
		t.Errorf("completed in an export that does not exist: %v", err)
	}
}

func TestALateAttemptRecordsNothing(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := in(t, s, export.Processing)
	record(t, s, e.ID, "a", []export.Part{part(0, 1, "first")})
	for _, late := range [][]export.Part{{part(0, 1, "late")}, {part(0, 1, "first")}, {part(0, 1, "late"), part(0, 2, "late")}} {
		if err := s.Record(t.Context(), e.ID, "a", late); !errors.Is(err, export.ErrConflict) {
			t.Errorf("a late attempt: %v", err)
		}
	}
	parts, err := s.Parts(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the recorded parts", parts, []export.Part{part(0, 0, "a"), part(0, 1, "first")})
}

func TestExactlyOneOfConcurrentAttemptsRecords(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := in(t, s, export.Processing)
	var previous string
	for round := range 10 {
		var won atomic.Int64
		var group sync.WaitGroup
		for attempt := range 6 {
			group.Go(func() {
				object := fmt.Sprint("attempt ", attempt)
				err := s.Record(context.Background(), e.ID, previous, []export.Part{part(1, 2*round, object), part(1, 2*round+1, object)})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, export.ErrConflict):
					t.Error(err)
				}
			})
		}
		group.Wait()
		equal(t, "the number of winners", won.Load(), int64(1))
		parts, err := s.PartsOfRange(t.Context(), e.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the number of parts", len(parts), 2*round+2)
		equal(t, "the winner of the second part", parts[2*round+1].Object, parts[2*round].Object)
		previous = parts[2*round+1].Object
	}
}

func TestAFailureKeepsTheProgressOfTheRecordedParts(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for range 10 {
		e := in(t, s, export.Processing)
		var group sync.WaitGroup
		var recorded atomic.Int64
		recorded.Store(1)
		for i := range 6 {
			group.Go(func() {
				err := s.Record(context.Background(), e.ID, "", []export.Part{part(i+1, 0, "b")})
				if err == nil {
					recorded.Add(1)
				} else if !errors.Is(err, export.ErrConflict) {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			if err := s.Fail(context.Background(), e.ID, export.Failures[export.CodeCancelled]); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		failed := find(t, s, e.ID)
		equal(t, "the count", failed.MemoryCount, 10*recorded.Load())
		equal(t, "the progress", failed.Progress, int(5*recorded.Load()))
		equal(t, "the failure", *failed.Failure, export.Failures[export.CodeCancelled])
		if failed.CompletedAt == nil || failed.ExpiresAt != nil {
			t.Errorf("%+v", failed)
		}
	}
}

func TestOneOfConcurrentPublishAndFailWins(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for range 20 {
		e := in(t, s, export.Processing)
		var publish, fail error
		var group sync.WaitGroup
		group.Go(func() {
			_, publish = s.Publish(context.Background(), e.ID, export.File{Parts: 1, Memories: 10, Size: 5, SHA256: digest[:]}, retention)
		})
		group.Go(func() { fail = s.Fail(context.Background(), e.ID, export.Failures[export.CodeCancelled]) })
		group.Wait()
		status := find(t, s, e.ID).Status
		switch {
		case publish == nil && errors.Is(fail, export.ErrConflict) && status == export.Ready:
		case fail == nil && errors.Is(publish, export.ErrConflict) && status == export.Failed:
		default:
			t.Fatalf("%s: publish %v, fail %v", status, publish, fail)
		}
	}
}

func TestProgressNeverFalls(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	last, seen := 0, map[int]bool{}
	look := func() {
		t.Helper()
		now, err := s.Get(t.Context(), tenant, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if now.Progress < last || now.Progress == 100 && now.Status != export.Ready && now.Status != export.Expired {
			t.Errorf("%s: %d%% after %d%%", now.Status, now.Progress, last)
		}
		last = now.Progress
		seen[last] = true
	}
	look()
	small := []memory.PlannedRange{plan[0]}
	small[0].Estimate = 70 // too low: the range has 120 memories
	if _, err := s.Start(t.Context(), e.ID, small); err != nil {
		t.Fatal(err)
	}
	look()
	for i := range 12 {
		record(t, s, e.ID, "a", []export.Part{part(0, i, "a")})
		look()
	}
	equal(t, "the progress when 120 of 70 memories are written", last, 94)
	if _, err := s.Publish(t.Context(), e.ID, export.File{Parts: 12, Memories: 120, Size: 5, SHA256: digest[:]}, retention); err != nil {
		t.Fatal(err)
	}
	look()
	if err := s.Expire(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	look()
	if err := s.Purged(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	look()
	equal(t, "the progress at the end", last, 100)
	if len(seen) < 8 {
		t.Errorf("only %d values were seen", len(seen))
	}
}
