package export_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// operations holds every operation that can change the status or the parts of an export.
var operations = map[string]func(context.Context, *export.Store, string) error{
	"Start": func(ctx context.Context, s *export.Store, id string) error {
		_, err := s.Start(ctx, id, plan)
		return err
	},
	"Record": func(ctx context.Context, s *export.Store, id string) error {
		return s.Record(ctx, id, "", []export.Part{part(1, 0, "b")})
	},
	"Publish": func(ctx context.Context, s *export.Store, id string) error {
		_, err := s.Publish(ctx, id, file, retention)
		return err
	},
	"Fail": func(ctx context.Context, s *export.Store, id string) error {
		return s.Fail(ctx, id, export.Failures[export.CodeInternal])
	},
	"Expire": func(ctx context.Context, s *export.Store, id string) error { return s.Expire(ctx, id) },
	"ExpireDue": func(ctx context.Context, s *export.Store, id string) error {
		_, err := s.ExpireDue(ctx, id)
		return err
	},
}

// legal says which status follows after an operation: legal[operation][before] is the status after the
// operation. A combination that is not in the map must return ErrConflict and change nothing.
var legal = map[string]map[export.Status]export.Status{
	"Start":     {export.Pending: export.Processing, export.Processing: export.Processing, export.Ready: export.Ready},
	"Record":    {export.Processing: export.Processing},
	"Publish":   {export.Processing: export.Ready, export.Ready: export.Ready, export.Expired: export.Expired},
	"Fail":      {export.Pending: export.Failed, export.Processing: export.Failed},
	"Expire":    {export.Ready: export.Expired},
	"ExpireDue": {export.Ready: export.Ready}, // its expiry is in the future
}

func TestIllegalTransitionsChangeNothing(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for name, do := range operations {
		for _, status := range export.Statuses {
			t.Run(name+" of "+string(status), func(t *testing.T) {
				e := in(t, s, status)
				before := row(t, db, e.ID)
				err := do(t.Context(), s, e.ID)
				want, ok := legal[name][status]
				if ok != (err == nil) || !ok && !errors.Is(err, export.ErrConflict) {
					t.Fatalf("%v", err)
				}
				if !ok {
					want = status
				}
				equal(t, "the status", find(t, s, e.ID).Status, want)
				changes := want != status || name == "Record" && ok
				if after := row(t, db, e.ID); (after != before) != changes {
					t.Errorf("before %s\nafter  %s", before, after)
				}
			})
		}
	}
}

func TestOperationsOnAnUnknownExportFail(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, id := range []string{uuid.NewString(), "", "no-uuid", "urn:uuid:" + tenant} {
		for name, do := range operations {
			if err := do(t.Context(), s, id); err == nil {
				t.Errorf("%s of %q succeeds", name, id)
			} else if uuid.Validate(id) == nil && len(id) == 36 && !errors.Is(err, export.ErrNotFound) && !errors.Is(err, export.ErrConflict) {
				t.Errorf("%s of %q: %v", name, id, err)
			}
		}
	}
}

func TestPendingAndProcessingAreNotTerminal(t *testing.T) {
	for status, want := range map[export.Status]bool{export.Pending: false, export.Processing: false, export.Ready: true, export.Failed: true, export.Expired: true} {
		equal(t, string(status), status.Terminal(), want)
	}
	equal(t, "the number of statuses", len(export.Statuses), 5)
	for code, f := range export.Failures {
		if f.Code != code || f.Message == "" {
			t.Errorf("failure %s is %+v", code, f)
		}
	}
}

func TestASecondStartReturnsTheFirstPlan(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	got, err := s.Start(t.Context(), e.ID, plan)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the plan", got, plan)
	for _, other := range [][]memory.PlannedRange{nil, plan[:1], {plan[1], plan[0]}} {
		if got, err = s.Start(t.Context(), e.ID, other); err != nil {
			t.Fatal(err)
		}
		equal(t, "the plan of a second start", got, plan)
	}
	if started := find(t, s, e.ID).StartedAt; started == nil || time.Since(*started) > time.Minute {
		t.Errorf("started at %v", started)
	}
}

func TestConcurrentStartsAgreeOnOnePlan(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	plans := make([][]memory.PlannedRange, 8)
	var group sync.WaitGroup
	for i := range plans {
		group.Go(func() {
			mine := []memory.PlannedRange{plan[0], plan[1]}
			mine[0].Estimate = int64(i)
			var err error
			if plans[i], err = s.Start(context.Background(), e.ID, mine); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, p := range plans {
		equal(t, "a plan", p, plans[0])
	}
}

func TestAnExportWithAnEmptyPlanCanBePublished(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := create(t, s)
	if ranges, err := s.Start(t.Context(), e.ID, nil); err != nil || len(ranges) != 0 {
		t.Fatal(ranges, err)
	}
	equal(t, "the progress", find(t, s, e.ID).Progress, 0)
	ready, err := s.Publish(t.Context(), e.ID, export.File{Size: 2, SHA256: digest[:]}, retention)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the progress", ready.Progress, 100)
	equal(t, "the count", ready.MemoryCount, int64(0))
	equal(t, "the object", ready.FileObject, (*string)(nil))
}

func TestPublishRecordsTheFile(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	e := in(t, s, export.Processing)
	ready, err := s.Publish(t.Context(), e.ID, file, 90*time.Minute+1500*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the status", ready.Status, export.Ready)
	equal(t, "the size", *ready.SizeBytes, int64(1234))
	equal(t, "the digest", *ready.SHA256, fmt.Sprintf("%x", digest))
	equal(t, "the object", *ready.FileObject, file.Object)
	equal(t, "the progress", ready.Progress, 100)
	equal(t, "the retention", ready.ExpiresAt.Sub(*ready.CompletedAt), 90*time.Minute+1500*time.Microsecond)
	again, err := s.Publish(t.Context(), e.ID, export.File{Memories: 99, Size: 99, SHA256: digest[:1], Object: "other"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the result of a second call", again, ready)
}

func TestAnExportExpiresByTheClock(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := in(t, s, export.Ready)
	see := func(want, stored export.Status) {
		t.Helper()
		got, err := s.Get(t.Context(), tenant, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := s.List(t.Context(), tenant, 1, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the status", []export.Status{got.Status, list[0].Status, find(t, s, e.ID).Status}, []export.Status{want, want, want})
		equal(t, "the stored status", []export.Status{got.StoredStatus, list[0].StoredStatus, find(t, s, e.ID).StoredStatus}, []export.Status{stored, stored, stored})
	}
	see(export.Ready, export.Ready)
	db.MustExec(`UPDATE memexport.exports SET expires_at = now() - interval '1 microsecond'`)
	see(export.Expired, export.Ready)
	if err := s.Expire(t.Context(), e.ID); err != nil {
		t.Error("Expire failed although the stored status is READY:", err)
	}
	see(export.Expired, export.Expired)
}

func TestAnEarlyExpireMovesTheExpiryToNow(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := in(t, s, export.Ready)
	if err := s.Expire(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	expired := find(t, s, e.ID)
	if !expired.ExpiresAt.Before(*e.ExpiresAt) || expired.ExpiresAt.After(expired.UpdatedAt) {
		t.Errorf("expires at %v, updated at %v", expired.ExpiresAt, expired.UpdatedAt)
	}
	late := in(t, s, export.Ready)
	db.MustExec(`UPDATE memexport.exports SET expires_at = '2020-01-01' WHERE id = $1`, late.ID)
	if err := s.Expire(t.Context(), late.ID); err != nil {
		t.Fatal(err)
	}
	equal(t, "an expiry that has passed", find(t, s, late.ID).ExpiresAt.Year(), 2020)
}

func TestAnExportThatIsDueExpiresWhenPostgresSaysSo(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := in(t, s, export.Ready)
	left, err := s.ExpireDue(t.Context(), e.ID)
	if err != nil || left <= retention-time.Minute || left > retention {
		t.Errorf("%v are left: %v", left, err)
	}
	equal(t, "the export that is not due", find(t, s, e.ID), e)
	var due time.Time
	if err := db.Get(&due, `UPDATE memexport.exports SET expires_at = now() - interval '1 minute' WHERE id = $1 RETURNING expires_at`, e.ID); err != nil {
		t.Fatal(err)
	}
	if left, err := s.ExpireDue(t.Context(), e.ID); err != nil || left != 0 {
		t.Errorf("%v are left of an export that is due: %v", left, err)
	}
	expired := find(t, s, e.ID)
	equal(t, "the status", expired.StoredStatus, export.Expired)
	equal(t, "the expiry", *expired.ExpiresAt, due.UTC())

	deleted := in(t, s, export.Ready)
	if err := s.Delete(t.Context(), tenant, deleted.ID); err != nil {
		t.Fatal(err)
	}
	if left, err := s.ExpireDue(t.Context(), deleted.ID); err != nil || left != 0 {
		t.Errorf("%v are left of a deleted export: %v", left, err)
	}
	equal(t, "the status of the deleted export", find(t, s, deleted.ID).StoredStatus, export.Expired)
}

func TestPurgedDeletesOnlyTheParts(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, status := range []export.Status{export.Failed, export.Expired} {
		e, other := in(t, s, status), in(t, s, export.Processing)
		for range 2 {
			if err := s.Purged(t.Context(), e.ID); err != nil {
				t.Fatal(err)
			}
		}
		after := find(t, s, e.ID)
		if after.PurgedAt == nil {
			t.Fatal("it is not marked as purged")
		}
		equal(t, "the status", after.Status, status)
		equal(t, "the count", after.MemoryCount, e.MemoryCount)
		equal(t, "the progress", after.Progress, e.Progress)
		if parts, err := s.Parts(t.Context(), e.ID); err != nil || len(parts) != 0 {
			t.Error(parts, err)
		}
		if parts, err := s.Parts(t.Context(), other.ID); err != nil || len(parts) != 1 {
			t.Error(parts, err)
		}
	}
}

// updated_at is the time from which callers see the current status. It stays the same when a worker is late to
// record EXPIRED, and when the objects of the export are deleted.
func TestUpdatedAtIsTheTimeOfTheLastChangeOfStatus(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, status := range []export.Status{export.Ready, export.Failed, export.Expired} {
		e := in(t, s, status)
		last := e.UpdatedAt
		if status == export.Ready {
			last = last.Add(-time.Minute)
			db.MustExec(`UPDATE memexport.exports SET expires_at = $2 WHERE id = $1`, e.ID, last)
			equal(t, "updated_at of an export that expired a minute ago", find(t, s, e.ID).UpdatedAt, last)
			if err := s.Expire(t.Context(), e.ID); err != nil {
				t.Fatal(err)
			}
			equal(t, "updated_at when a worker has recorded it as EXPIRED", find(t, s, e.ID).UpdatedAt, last)
		}
		if err := s.Purged(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
		purged := find(t, s, e.ID)
		equal(t, "updated_at of a purged export that was "+string(status), purged.UpdatedAt, last)
		if purged.PurgedAt == nil {
			t.Error("it is not purged")
		}
	}
}
