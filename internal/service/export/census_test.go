package export_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"memexport/internal/service/export"
)

func TestTheCensusCountsWhatIsNotPurged(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	add := func(status export.Status, set string) {
		e := in(t, s, status)
		db.MustExec(`UPDATE memexport.exports SET `+set+` WHERE id = $1`, e.ID)
	}
	add(export.Pending, `dispatched_at = NULL, created_at = now() - interval '5 hours'`)
	add(export.Pending, `dispatched_at = NULL, created_at = now() - interval '9 hours', deleted_at = now()`) // it was deleted, so it does not count as queued
	add(export.Pending, `dispatched_at = now() - interval '1 hour', created_at = now() - interval '9 hours'`)
	add(export.Processing, `dispatched_at = now() - interval '2 hours'`)
	add(export.Ready, `stored_bytes = 7, updated_at = now() - interval '1 year'`)
	add(export.Ready, `stored_bytes = 7, expires_at = now() - interval '1 minute'`)
	add(export.Ready, `stored_bytes = 7, expires_at = now() - interval '61 minutes'`)
	add(export.Failed, `stored_bytes = 7, updated_at = now() - interval '61 minutes'`)
	add(export.Failed, `stored_bytes = 7, updated_at = now() - interval '1 year', purged_at = now()`)

	c, err := s.TakeCensus(t.Context(), 30*time.Minute, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(c.Groups, func(a, b export.Group) int {
		return slices.Index(export.Statuses, a.Status) - slices.Index(export.Statuses, b.Status)
	})
	hours := func(seconds float64) int { return int(seconds/3600 + 0.5) }
	want := []struct {
		status                                   export.Status
		exports, queued, overdue, queuedAge, age int
	}{
		{export.Pending, 3, 1, 0, 5, 1},
		{export.Processing, 1, 0, 0, 0, 2},
		{export.Ready, 1, 0, 0, 0, 0},
		{export.Failed, 1, 0, 1, 0, 0},
		{export.Expired, 2, 0, 1, 0, 0},
	}
	if len(c.Groups) != len(want) {
		t.Fatalf("the groups are %+v", c.Groups)
	}
	for i, w := range want {
		g := c.Groups[i]
		if g.Status != w.status || g.Format != "json" || g.Exports != w.exports || g.Queued != w.queued || g.Overdue != w.overdue ||
			hours(g.OldestQueued) != w.queuedAge || hours(g.Oldest) != w.age {
			t.Errorf("a group is %+v, want %+v", g, w)
		}
	}
	if c.Full || c.Bytes != 4*7+1<<40 {
		t.Errorf("the store is full: %t, with %d bytes", c.Full, c.Bytes)
	}
	c, err = s.WithLimits(export.Limits{Bytes: c.Bytes}).TakeCensus(t.Context(), 0, 0)
	if err != nil || !c.Full {
		t.Errorf("the store is full: %t, although it holds as many bytes as it may; %v", c.Full, err)
	}
}

func TestEachStepIsObservedOnce(t *testing.T) {
	t.Parallel()
	plain, db := open(t)
	var steps []export.Step
	var last export.Export
	s := plain.WithObserver(func(_ context.Context, step export.Step, e export.Export) {
		steps, last = append(steps, step), e
	})
	repeat := func(do func() error) {
		for range 2 {
			_ = do() // the second call may return ErrConflict
		}
	}
	key := "once"
	wanted := export.Export{WorkspaceID: tenant, Format: "json", IdempotencyKey: &key, CreatedBy: "key-1", TraceParent: "00-x"}
	repeat(func() error { _, err := s.Create(t.Context(), wanted); return err })
	id := last.ID
	repeat(func() error { _, err := s.Start(t.Context(), id, plan); return err })
	equal(t, "the start", last.StartedAt != nil && last.CreatedBy == "key-1" && last.TraceParent == "00-x", true)
	empty := file
	empty.Parts, empty.Memories = 0, 0
	repeat(func() error { _, err := s.Publish(t.Context(), id, empty, retention); return err })
	equal(t, "the size", *last.SizeBytes, file.Size)
	repeat(func() error { return s.Expire(t.Context(), id) })
	repeat(func() error { return s.Purged(t.Context(), id) })
	equal(t, "the purged export", last.ID, id)
	repeat(func() error { return s.Delete(t.Context(), tenant, id) })
	equal(t, "the steps", steps, []export.Step{export.StepCreated, export.StepStarted, export.StepReady, export.StepExpired, export.StepPurged, export.StepDeleted})

	steps = nil
	failed := create(t, s)
	f := export.Failures[export.CodeTimedOut]
	f.Cause = "the reason"
	repeat(func() error { return s.Fail(t.Context(), failed.ID, f) })
	equal(t, "the steps", steps, []export.Step{export.StepCreated, export.StepFailed})
	equal(t, "the failure", *last.Failure, f)

	steps = nil
	limited := s.WithLimits(export.Limits{Running: 1, WorkspaceBytes: 5})
	waiting := create(t, s)
	db.MustExec(`UPDATE memexport.exports SET dispatched_at = NULL WHERE id = $1`, waiting.ID)
	db.MustExec(`UPDATE memexport.exports SET stored_bytes = 10 WHERE id = $1`, failed.ID)
	if _, err := limited.Claim(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	equal(t, "the steps", steps, []export.Step{export.StepCreated, export.StepFailed})
	equal(t, "the code", last.Failure.Code, export.CodeStorageLimit)
}
