package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	sdk "go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
)

// untilCancelled records heartbeats until the activity is cancelled, and returns 200 ms later.
func untilCancelled(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for timeout := time.After(patience); ; {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			time.Sleep(200 * time.Millisecond) // the cleanup must not begin before this function returns
			return ctx.Err()
		case <-timeout:
			return sdk.NewNonRetryableApplicationError("it was not cancelled", "Test", nil)
		case <-ticker.C:
		}
	}
}

// failIfWriting makes Fail and Purge fail the test if they run while a range is being written.
func failIfWriting(t *testing.T, s *stub) {
	for _, name := range []string{"Fail", "Purge"} {
		s.on[name] = func(context.Context, int) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.writing > 0 {
				t.Errorf("%s ran while %d ranges were still being written", name, s.writing)
			}
			return nil
		}
	}
}

func TestACancelBeforeTheFirstTaskIsRecordedAndCleanedUp(t *testing.T) {
	l := newLive(t, newStub(1))
	l.start()
	l.cancel()
	l.work()
	if err := l.result(); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	l.wantCalls(t, "Fail", "Purge")
	if l.code != export.CodeCancelled {
		t.Errorf("the code is %q", l.code)
	}
}

func cancelledWhileWriting(t *testing.T) *live {
	s := newStub(5)
	s.parallel = 2
	s.on["WriteRange"] = func(ctx context.Context, number int) error { return untilCancelled(ctx) }
	failIfWriting(t, s)
	l := newLive(t, s)
	l.start()
	l.work()
	await.True(t, patience, "two ranges are being written", func() bool { return len(l.called("WriteRange")) == 2 })
	l.cancel()
	if err := l.result(); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	return l
}

func TestACancelWhileWritingWaitsForTheRangesAndThenCleansUp(t *testing.T) {
	l := cancelledWhileWriting(t)
	if names := l.names(); len(names) != 5 || !slices.Equal(names[3:], []string{"Fail", "Purge"}) {
		t.Errorf("the activities were %q, want Plan, two ranges, Fail and Purge", names)
	}
	if l.code != export.CodeCancelled {
		t.Errorf("the code is %q", l.code)
	}
	if status := l.closed(); status != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED {
		t.Errorf("the last event is %v", status)
	}
}

// A worker that dies while it writes is noticed by its missing heartbeats. If the workflow was cancelled
// meanwhile, Temporal does not retry the activity, and the workflow sees a timeout instead of a cancellation.
func TestACancelWhileTheWorkersAreDeadIsRecordedAsACancel(t *testing.T) {
	t.Parallel()
	s := newStub(2)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s.on["WriteRange"] = func(context.Context, int) error {
		<-over // like a dead worker, it sends no heartbeat
		return nil
	}
	l := newLive(t, s)
	l.start()
	l.work()
	await.True(t, patience, "two ranges are being written", func() bool { return len(l.called("WriteRange")) == 2 })
	l.cancel()
	ctx, cancel := context.WithTimeout(t.Context(), attempt.HeartbeatTimeout+patience)
	defer cancel()
	if err := temporal.client.GetWorkflow(ctx, l.id, "").Get(ctx, nil); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	timeouts := 0
	for _, event := range l.history().GetEvents() {
		if event.GetActivityTaskTimedOutEventAttributes() != nil {
			timeouts++
		}
	}
	if timeouts != 2 {
		t.Errorf("%d ranges timed out, want both", timeouts)
	}
	if l.code != export.CodeCancelled {
		t.Errorf("the code is %q", l.code)
	}
}

func failedWhileWriting(t *testing.T) *live {
	s := newStub(5)
	s.parallel = 3
	s.on["WriteRange"] = func(ctx context.Context, number int) error {
		if number != 1 {
			return untilCancelled(ctx)
		}
		for len(s.called("WriteRange")) < 3 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return sdk.NewNonRetryableApplicationError("the store refuses", attempt.TypeStorageDenied, nil)
	}
	failIfWriting(t, s)
	l := newLive(t, s)
	l.start()
	l.work()
	err := l.result()
	var applicationErr *sdk.ApplicationError
	if !errors.As(err, &applicationErr) || applicationErr.Type() != attempt.TypeStorageDenied {
		t.Errorf("the workflow ended with %v, want the first error", err)
	}
	return l
}

func TestARangeThatFailsCancelsTheOthersAndFailsTheExport(t *testing.T) {
	l := failedWhileWriting(t)
	if l.code != export.CodeStorageDenied {
		t.Errorf("the code is %q", l.code)
	}
	if started := len(l.called("WriteRange")); started != 3 {
		t.Errorf("%d ranges were started, want only the 3 that run at the same time", started)
	}
	if names := l.names(); !slices.Equal(names[len(names)-2:], []string{"Fail", "Purge"}) {
		t.Errorf("the activities were %q", names)
	}
	if status := l.closed(); status != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED {
		t.Errorf("the last event is %v", status)
	}
}

// The test environment limits the number of attempts, so this test reads the retry options from a history
// instead.
func TestOnlyTheCleanupIsRetriedWithoutEnd(t *testing.T) {
	l := newLive(t, newStub(2))
	l.ready, l.grace = 0, 0
	l.start()
	l.work()
	if err := l.result(); err != nil {
		t.Fatal(err)
	}
	budgets := map[string]time.Duration{}
	for _, scheduled := range scheduledActivities(l.history()) {
		if attempts := scheduled.GetRetryPolicy().GetMaximumAttempts(); attempts != 0 {
			t.Errorf("%s is tried only %d times", scheduled.GetActivityType().GetName(), attempts)
		}
		if timeout := scheduled.GetHeartbeatTimeout().AsDuration(); timeout != 30*time.Second {
			t.Errorf("%s has a heartbeat timeout of %v", scheduled.GetActivityType().GetName(), timeout)
		}
		if key := scheduled.GetPriority().GetFairnessKey(); key != workspaceID {
			t.Errorf("the fairness key of %s is %q", scheduled.GetActivityType().GetName(), key)
		}
		longest := time.Minute
		if scheduled.GetActivityType().GetName() == "Purge" {
			longest = time.Hour
		}
		if pause := scheduled.GetRetryPolicy().GetMaximumInterval().AsDuration(); pause != longest {
			t.Errorf("the longest pause between attempts of %s is %v, want %v", scheduled.GetActivityType().GetName(), pause, longest)
		}
		attempt, priority := 6*time.Hour, int32(0)
		if name := scheduled.GetActivityType().GetName(); name == "Expire" || name == "Purge" {
			attempt, priority = time.Hour, 1
		}
		if key := scheduled.GetPriority().GetPriorityKey(); key != priority {
			t.Errorf("the priority of %s is %d, want %d", scheduled.GetActivityType().GetName(), key, priority)
		}
		if timeout := scheduled.GetStartToCloseTimeout().AsDuration(); timeout != attempt {
			t.Errorf("an attempt of %s may take %v, want %v", scheduled.GetActivityType().GetName(), timeout, attempt)
		}
		budgets[scheduled.GetActivityType().GetName()] = scheduled.GetScheduleToCloseTimeout().AsDuration()
	}
	const night = 12 * time.Hour
	want := map[string]time.Duration{"Plan": night, "WriteRange": night, "Verify": night, "Publish": night, "Expire": 0, "Purge": 0}
	for name, budget := range want {
		if got, ok := budgets[name]; !ok || got != budget {
			t.Errorf("%s is retried for %v, want %v (0: without end)", name, got, budget)
		}
	}
}

func scheduledActivities(history *historypb.History) []*historypb.ActivityTaskScheduledEventAttributes {
	var scheduled []*historypb.ActivityTaskScheduledEventAttributes
	for _, event := range history.GetEvents() {
		if attributes := event.GetActivityTaskScheduledEventAttributes(); attributes != nil {
			scheduled = append(scheduled, attributes)
		}
	}
	return scheduled
}

func TestTheHistoryOfTheLargestExportIsShort(t *testing.T) {
	registerAttributes(t)
	l := newLive(t, newStub(64))
	l.ready, l.grace = 0, 0
	l.attributes = true
	l.start()
	l.work()
	if err := l.result(); err != nil {
		t.Fatal(err)
	}
	history := l.history()
	if n := len(history.GetEvents()); n >= 1500 {
		t.Errorf("the history has %d events", n)
	} else {
		t.Logf("%d events, %d bytes", n, history.Size())
	}
}

func TestTheTemporalUISaysWhatEachActivityDoes(t *testing.T) {
	l := newLive(t, newStub(3))
	l.ready, l.grace = 0, 0
	l.start()
	l.work()
	if err := l.result(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, event := range l.history().GetEvents() {
		if event.GetActivityTaskScheduledEventAttributes() == nil {
			continue
		}
		var summary string
		if err := converter.GetDefaultDataConverter().FromPayload(event.GetUserMetadata().GetSummary(), &summary); err != nil {
			t.Fatal(err)
		}
		said = append(said, summary)
	}
	want := []string{"divide the memories into ranges; publish a small export",
		"range 1 of 3, about 1,000 memories", "range 2 of 3, about 1,000 memories", "range 3 of 3, about 1,000 memories",
		"verify range 1 of 3", "verify range 2 of 3", "verify and publish", "end the downloads", "delete the objects"}
	if !slices.Equal(said, want) {
		t.Errorf("the summaries are\n%q, want\n%q", said, want)
	}
}

// names returns the names of the activities that were called, in order.
func (s *stub) names() []string {
	var names []string
	for _, c := range s.called("") {
		names = append(names, c.name)
	}
	return names
}

// closed returns the type of the last event in the workflow's history.
func (l *live) closed() enumspb.EventType {
	events := l.history().GetEvents()
	return events[len(events)-1].GetEventType()
}
