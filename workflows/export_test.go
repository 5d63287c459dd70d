package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"
	sdk "go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/workflows"
)

func TestAnExportSleepsUntilItExpiresAndIsPurgedAfterTheGracePeriod(t *testing.T) {
	k := newSkipping(t, newStub(1))
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Expire", "Purge")
	k.wantAt("Publish", 0)
	k.wantAt("Expire", 72*time.Hour)
	k.wantAt("Purge", 73*time.Hour)
	if want := (export.Written{Parts: 1, Memories: 1000, Bytes: 4000}); k.publish.Written != want || k.publish.Ranges != 1 {
		t.Errorf("published was %+v", k.publish)
	}
}

func TestAnExportThatGoesWellLogsNoWarning(t *testing.T) {
	k := newSkipping(t, newStub(1))
	k.ExecuteWorkflow(workflows.Export, workflows.ExportInput{ExportID: exportID, WorkspaceID: workspaceID, SearchAttributes: true})
	if err := k.GetWorkflowError(); err != nil || k.log.Len() > 0 {
		t.Errorf("the workflow ended with %v, and has logged %q", err, k.log)
	}
}

func TestAFileIsComposedBeforeItIsPublishedIfThePlanSaysSo(t *testing.T) {
	k := newSkipping(t, newComposing(3))
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	calls := k.called("")
	if n := len(calls); n != 10 || calls[n-4].name != "Compose" || calls[n-3].name != "Publish" {
		t.Errorf("the activities were %+v", calls)
	}
	if !reflect.DeepEqual(k.publish.Composed, composed) {
		t.Errorf("published was %+v", k.publish)
	}
}

func TestAnExportWithoutMemoriesIsPublished(t *testing.T) {
	k := newSkipping(t, newStub(0))
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantCalls(t, "Plan", "Publish", "Expire", "Purge")
	k.wantAt("Expire", 72*time.Hour)
}

func TestAnExportThatExpiresInThePastIsExpiredAtOnce(t *testing.T) {
	s := newStub(1)
	s.ready, s.grace = -time.Hour, -time.Minute
	k := newSkipping(t, s)
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantAt("Purge", 0)
}

func TestRangesAreWrittenInParallelAndVerifiedInOrder(t *testing.T) {
	const parallel = 4
	s := newStub(64)
	s.parallel = parallel
	full := make(chan struct{})
	isFull := sync.OnceFunc(func() { close(full) })
	s.on["WriteRange"] = func(context.Context, int) error {
		// Each range waits until as many ranges are running as may run at the same time. The last of them ends the
		// wait.
		if len(s.called("WriteRange")) == parallel {
			isFull()
		}
		select {
		case <-full:
			return nil
		case <-time.After(patience):
			return sdk.NewNonRetryableApplicationError("the ranges do not run at the same time", "Test", nil)
		}
	}
	k := newSkipping(t, s)
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	if s.most != parallel {
		t.Errorf("%d ranges were written at the same time, want %d", s.most, parallel)
	}
	if n := len(s.called("WriteRange")); n != 64 {
		t.Errorf("%d ranges were written", n)
	}
	for i, c := range s.called("Verify") {
		if c.name != fmt.Sprintf("Verify %d", i) {
			t.Errorf("call %d of Verify was %s", i, c.name)
		}
	}
	// Verify is called for 63 of the 64 ranges, because Publish verifies the last one.
	if n := len(s.called("Verify")); n != 63 || s.publish.Digest.Parts != 63 {
		t.Errorf("%d ranges were verified, and Publish got a digest of %d parts", n, s.publish.Digest.Parts)
	}
	if want := (export.Written{Parts: 64, Memories: 64_000, Bytes: 256_000}); s.publish.Written != want || s.publish.Ranges != 64 {
		t.Errorf("published was %+v", s.publish)
	}
}

func TestACancelAtHour71ExpiresAndPurgesAtOnce(t *testing.T) {
	k := newSkipping(t, newStub(1))
	k.RegisterDelayedCallback(k.CancelWorkflow, 71*time.Hour)
	if err := k.export(); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	k.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Expire", "Purge")
	k.wantAt("Expire", 71*time.Hour)
	k.wantAt("Purge", 71*time.Hour)
}

// The timer fires too early if the clock of Temporal is ahead of the clock of Postgres.
func TestAnExportWhoseTimerFiresTooEarlySleepsAgain(t *testing.T) {
	s := newStub(1)
	s.left = 30 * time.Second
	k := newSkipping(t, s)
	sleepy := ""
	k.RegisterDelayedCallback(func() { sleepy = k.details() }, 72*time.Hour+29*time.Second)
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Expire", "Expire", "Purge")
	k.wantAt("Expire", 72*time.Hour)
	k.wantAt("Purge", 73*time.Hour+30*time.Second)
	if !slices.Equal(s.due, []bool{true, true}) {
		t.Errorf("Expire was told %v", s.due)
	}
	if !strings.Contains(sleepy, "**READY**") {
		t.Errorf("during the second sleep the details are %q", sleepy)
	}
}

func TestTheSecondSleepBeforeAnExportExpiresEndsEarlyToo(t *testing.T) {
	for name, end := range map[string]func(*skipping, time.Duration){
		"by a cancellation": func(k *skipping, at time.Duration) { k.RegisterDelayedCallback(k.CancelWorkflow, at) },
		"by expire-now":     func(k *skipping, at time.Duration) { k.expireNowAfter(at) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(1)
			s.left = 5 * time.Hour
			k := newSkipping(t, s)
			end(k, 74*time.Hour)
			if err := k.export(); err != nil && !sdk.IsCanceledError(err) {
				t.Fatal(err)
			}
			k.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Expire", "Expire", "Purge")
			if calls := k.called("Expire"); calls[1].at.Sub(k.begin) != 74*time.Hour || !slices.Equal(s.due, []bool{true, false}) {
				t.Errorf("Expire was called at %v, and was told %v", calls, s.due)
			}
		})
	}
}

func TestACancelDuringTheGracePeriodPurgesAtOnce(t *testing.T) {
	k := newSkipping(t, newStub(1))
	k.RegisterDelayedCallback(k.CancelWorkflow, 72*time.Hour+time.Minute)
	if err := k.export(); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	k.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Expire", "Purge")
	k.wantAt("Expire", 72*time.Hour)
	k.wantAt("Purge", 72*time.Hour+time.Minute)
}

// outcome notes whether an update was rejected or failed.
type outcome struct{ rejected, failed error }

func (o *outcome) Accept()                   {}
func (o *outcome) Reject(err error)          { o.rejected = err }
func (o *outcome) Complete(_ any, err error) { o.failed = err }

func (k *skipping) expireNowAfter(d time.Duration) *outcome {
	o := &outcome{}
	k.RegisterDelayedCallback(func() { k.UpdateWorkflow(workflows.UpdateExpireNow, "", o) }, d)
	return o
}

func TestExpireNowEndsTheSleepButNotTheGracePeriod(t *testing.T) {
	// The first attempt fails, and the retry comes after half a second. Until then the export stays
	// PROCESSING.
	s := newStub(1).failing("WriteRange", 1, errors.New("try again"))
	k := newSkipping(t, s)
	processing := k.expireNowAfter(100 * time.Millisecond)
	ready := k.expireNowAfter(10 * time.Hour)
	expired := k.expireNowAfter(10*time.Hour + time.Minute)
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	if ready.rejected != nil || ready.failed != nil {
		t.Errorf("a READY export: rejected %v, failed %v", ready.rejected, ready.failed)
	}
	for status, o := range map[string]*outcome{"PROCESSING": processing, "EXPIRED": expired} {
		if o.rejected == nil || !strings.Contains(o.rejected.Error(), status) {
			t.Errorf("the update of a %s export was rejected with %v", status, o.rejected)
		}
	}
	k.wantAt("Expire", 10*time.Hour)
	k.wantAt("Purge", 11*time.Hour)
	if !slices.Equal(s.due, []bool{false}) {
		t.Errorf("Expire was told %v", s.due)
	}
}

// metadataQuery is a query that the SDK answers.
const metadataQuery = "__temporal_workflow_metadata"

func (k *skipping) details() string {
	k.t.Helper()
	value, err := k.QueryWorkflow(metadataQuery)
	if err != nil {
		k.t.Fatal(err)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := value.Get(&metadata); err != nil {
		k.t.Fatal(err)
	}
	return metadata.GetCurrentDetails()
}

func TestTheDetailsFollowTheExport(t *testing.T) {
	s := newStub(3)
	var failed bool
	s.on["WriteRange"] = func(_ context.Context, number int) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if number == 2 && !failed {
			failed = true
			// The retry comes after an hour of skipped time, so a busy machine makes no difference.
			return sdk.NewApplicationErrorWithOptions("try again", "Test", sdk.ApplicationErrorOptions{NextRetryDelay: time.Hour})
		}
		return nil
	}
	k := newSkipping(t, s)
	var stages []string
	for _, at := range []time.Duration{time.Minute, 2 * time.Hour, 73*time.Hour + time.Minute} {
		k.RegisterDelayedCallback(func() { stages = append(stages, k.details()) }, at)
	}
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	stages = append(stages, k.details())
	expires := "- expires " + k.begin.Add(73*time.Hour).UTC().Format(time.RFC3339) + "\n"
	all := "- 3 of 3 ranges written\n- 3,000 memories, 12 kB in 3 parts\n"
	want := []string{
		"**PROCESSING**, about 66 % written\n\n- 2 of 3 ranges written\n- 2,000 memories, 8.0 kB in 2 parts\n",
		"**READY**\n\n" + all + expires,
		"**EXPIRED**\n\n" + all + strings.Replace(expires, "expires", "expired", 1) +
			"- its objects are deleted at " + k.begin.Add(74*time.Hour).UTC().Format(time.RFC3339) + "\n",
		"**EXPIRED**\n\n" + all + strings.Replace(expires, "expires", "expired", 1) + "- its objects have been deleted\n",
	}
	if !slices.Equal(stages, want) {
		t.Errorf("the details were\n%q, want\n%q", stages, want)
	}
}

func TestTheDetailsOfAFailedExportSayWhy(t *testing.T) {
	k := newSkipping(t, newStub(1).failing("Plan", 0, sdk.NewNonRetryableApplicationError("no column memory", attempt.TypeSourceInvalid, nil)))
	if k.export() == nil {
		t.Fatal("the workflow did not fail")
	}
	for _, part := range []string{"**FAILED**", "`SOURCE_INVALID`", "because of `SourceInvalid`: no column memory", "docs/architecture.md#why-an-export-is-failed", "objects have been deleted"} {
		if !strings.Contains(k.details(), part) {
			t.Errorf("the details lack %q: %q", part, k.details())
		}
	}
}

func TestTheDetailsOfAFailedExportSayWhatWasWritten(t *testing.T) {
	s := newStub(3)
	s.parallel = 1
	s.on["WriteRange"] = func(_ context.Context, number int) error {
		if number == 2 {
			return sdk.NewNonRetryableApplicationError("no", attempt.TypeStorageDenied, nil)
		}
		return nil
	}
	k := newSkipping(t, s)
	k.wantFailed(k.export(), export.CodeStorageDenied)
	if want := "- 2 of 3 ranges written\n- 2,000 memories, 8.0 kB in 2 parts\n"; !strings.Contains(k.details(), want) {
		t.Errorf("the details lack %q: %q", want, k.details())
	}
}

func TestTheDetailsNameASectionThatExists(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil || !strings.Contains(string(page), "\n## Why an export is FAILED\n") {
		t.Errorf("docs/architecture.md lacks the section: %v", err)
	}
}
