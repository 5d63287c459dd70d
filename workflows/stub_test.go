package workflows_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/workflows"
)

const (
	exportID    = "0190a000-0000-7000-8000-00000000000e"
	workspaceID = "0190a000-0000-4000-8000-00000000000f"
)

// stub has an activity for each activity of Export, with the same name. Each activity notes that it was
// called. If the map stub.on has a function for the activity, the activity runs the function and returns its
// error.
type stub struct {
	ranges   int
	parallel int
	compose  bool
	small    bool          // whether Plan publishes the export
	ready    time.Duration // the time from Publish until the export expires
	grace    time.Duration // the time from Expire until the objects are deleted
	now      func() time.Time
	on       map[string]func(ctx context.Context, number int) error

	planned, published, failed activities.Settled // what Plan, Publish and Fail say about the export
	lost                       bool               // whether Expire says that the export is FAILED
	left                       time.Duration      // how long the export stays READY after its timer has fired for the first time

	mu      sync.Mutex
	calls   []call
	code    string // the code that Fail received
	due     []bool // what Expire received
	publish activities.PublishInput
	writing int
	most    int // the greatest number of ranges that were being written at the same time
}

// call is one attempt of an activity.
type call struct {
	name string // the activity's name, followed by the number of the range if the activity works on one
	at   time.Time
}

func newStub(ranges int) *stub {
	return &stub{
		ranges: ranges, parallel: 4, ready: 72 * time.Hour, grace: time.Hour, now: time.Now,
		on: map[string]func(context.Context, int) error{},
	}
}

func newSmall() *stub {
	s := newStub(1)
	s.small = true
	return s
}

func newComposing(ranges int) *stub {
	s := newStub(ranges)
	s.compose = true
	return s
}

// failing makes an activity return err. The parameter times is how many calls fail before the calls
// succeed; 0 means that every call fails.
func (s *stub) failing(name string, times int, err error) *stub {
	failed := 0
	s.on[name] = func(context.Context, int) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if times > 0 && failed >= times {
			return nil
		}
		failed++
		return err
	}
	return s
}

// run notes a call and runs the test's function for this activity. number is the number of the range. It
// is negative for an activity that works on the whole export.
func (s *stub) run(ctx context.Context, name string, number int) error {
	label := name
	if number >= 0 {
		label = fmt.Sprintf("%s %d", name, number)
	}
	s.mu.Lock()
	s.calls = append(s.calls, call{name: label, at: s.now()})
	s.mu.Unlock()
	if hook := s.on[name]; hook != nil {
		return hook(ctx, number)
	}
	return nil
}

func (s *stub) Plan(ctx context.Context, in activities.PlanInput) (plan activities.PlanResult, err error) {
	if s.planned.Is() {
		return activities.PlanResult{Settled: s.planned}, s.run(ctx, "Plan", -1)
	}
	plan.Parallel, plan.Compose = s.parallel, s.compose
	if s.small && in.PublishSmall {
		written := export.Written{Parts: 1, Memories: 100, Bytes: 4000}
		plan.Published = &activities.PublishedSmall{Written: written,
			PublishResult: activities.PublishResult{Memories: written.Memories, Bytes: written.Bytes, ExpiresAt: s.now().Add(s.ready)}}
	}
	for i := range s.ranges {
		plan.Ranges = append(plan.Ranges, memory.PlannedRange{Range: rangeOf(i), Estimate: 1000})
	}
	return plan, s.run(ctx, "Plan", -1)
}

// rangeOf returns range number i of the plan.
func rangeOf(i int) memory.Range {
	return memory.Range{
		First: memory.Key{CreatedAt: memory.Time(1000 * i), ID: workspaceID},
		Last:  memory.Key{CreatedAt: memory.Time(1000*i + 999), ID: workspaceID},
	}
}

func (s *stub) WriteRange(ctx context.Context, in activities.WriteRangeInput) (export.Written, error) {
	if in.ExportID != exportID || in.Range != rangeOf(in.Number) {
		return export.Written{}, fmt.Errorf("the input is %+v", in)
	}
	s.mu.Lock()
	s.writing++
	s.most = max(s.most, s.writing)
	s.mu.Unlock()
	err := s.run(ctx, "WriteRange", in.Number)
	s.mu.Lock()
	s.writing--
	s.mu.Unlock()
	return export.Written{Parts: 1, Memories: 1000, Bytes: 4000}, err
}

// Verify counts the verified parts as the real activity does.
func (s *stub) Verify(ctx context.Context, in activities.VerifyInput) (archive.Digest, error) {
	if in.Digest.Parts != in.Number {
		return in.Digest, fmt.Errorf("range %d is verified after %d parts", in.Number, in.Digest.Parts)
	}
	in.Digest.Parts++
	return in.Digest, s.run(ctx, "Verify", in.Number)
}

func (s *stub) Compose(ctx context.Context, _ activities.ExportRef) (archive.Composed, error) {
	return composed, s.run(ctx, "Compose", -1)
}

// composed is the result of Compose.
var composed = archive.Composed{Object: "exports/" + exportID + "/file", Size: 4000, SHA256: []byte("sum")}

func (s *stub) Publish(ctx context.Context, in activities.PublishInput) (activities.PublishResult, error) {
	s.mu.Lock()
	s.publish = in
	s.mu.Unlock()
	err := s.run(ctx, "Publish", -1)
	if s.published.Is() {
		return activities.PublishResult{ExpiresAt: s.published.ExpiresAt, Settled: s.published}, err
	}
	return activities.PublishResult{Memories: in.Written.Memories, Bytes: in.Written.Bytes, ExpiresAt: s.now().Add(s.ready)}, err
}

func (s *stub) Fail(ctx context.Context, in activities.FailInput) (activities.Settled, error) {
	s.mu.Lock()
	s.code = in.Code
	settled := s.failed
	s.mu.Unlock()
	if !settled.Is() {
		settled = activities.Settled{Status: export.Failed, Code: in.Code}
	}
	return settled, s.run(ctx, "Fail", -1)
}

func (s *stub) Expire(ctx context.Context, in activities.ExpireInput) (activities.ExpireResult, error) {
	err := s.run(ctx, "Expire", -1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = append(s.due, in.Due)
	result := activities.ExpireResult{PurgeAt: s.now().Add(s.grace), Failed: s.lost}
	if in.Due {
		result.Left, s.left = s.left, 0
		result.ExpiresAt = s.now().Add(result.Left)
	}
	return result, err
}

func (s *stub) Purge(ctx context.Context, _ activities.ExportRef) error {
	return s.run(ctx, "Purge", -1)
}

// called returns the calls made so far of activities whose names begin with name.
func (s *stub) called(name string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []call
	for _, c := range s.calls {
		if strings.HasPrefix(c.name, name) {
			found = append(found, c)
		}
	}
	return found
}

// wantCalls checks that exactly these activities were called, in this order.
func (s *stub) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, c := range s.called("") {
		got = append(got, c.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the activities were\n%q, want\n%q", got, want)
	}
}

// skipping is one export in the SDK's test environment, which skips time.
type skipping struct {
	*testsuite.TestWorkflowEnvironment
	*stub
	t     *testing.T
	begin time.Time
	log   *bytes.Buffer // the warnings and errors that the workflow logs
}

func newSkipping(t *testing.T, s *stub) *skipping {
	suite := testsuite.WorkflowTestSuite{}
	warnings := &bytes.Buffer{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)                                             // this limits real time, and the default is too short for a busy machine
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience}) // the default is too short as well
	env.RegisterWorkflow(workflows.Export)
	env.RegisterActivity(s)
	s.now = env.Now
	return &skipping{TestWorkflowEnvironment: env, stub: s, t: t, begin: env.Now(), log: warnings}
}

// export runs the workflow and returns its error.
func (k *skipping) export() error {
	k.t.Helper()
	k.ExecuteWorkflow(workflows.Export, workflows.ExportInput{ExportID: exportID, WorkspaceID: workspaceID})
	if !k.IsWorkflowCompleted() {
		k.t.Fatal("the workflow did not end")
	}
	return k.GetWorkflowError()
}

// wantAt checks how long after the workflow's start an activity was called for the first time.
func (k *skipping) wantAt(name string, want time.Duration) {
	k.t.Helper()
	calls := k.called(name)
	if len(calls) == 0 {
		k.t.Fatalf("%s was not called", name)
	}
	if got := calls[0].at.Sub(k.begin); got != want {
		k.t.Errorf("%s was called after %v, want %v", name, got, want)
	}
}
