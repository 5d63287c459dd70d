package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	enumspb "go.temporal.io/api/enums/v1"
	sdk "go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
)

// working lists the activities that run before the export is READY. If one of them fails, the export
// fails.
var working = []string{"Plan", "WriteRange", "Verify", "Compose", "Publish"}

func TestAnActivityThatFailsEndsTheExportWithItsCode(t *testing.T) {
	codes := map[string]string{
		"SomethingElse":                 export.CodeInternal,
		attempt.TypeExportClosed:        export.CodeInternal,
		attempt.TypeInvalidExport:       export.CodeInternal,
		attempt.TypeCountMismatch:       export.CodeInternal,
		attempt.TypeSourceInvalid:       export.CodeSourceInvalid,
		attempt.TypeSourceChanged:       export.CodeSourceInvalid,
		attempt.TypeStorageDenied:       export.CodeStorageDenied,
		attempt.TypeStorageCorrupt:      export.CodeStorageUnavailable,
		attempt.TypeSourceUnavailable:   export.CodeSourceUnavailable,
		attempt.TypeStorageUnavailable:  export.CodeStorageUnavailable,
		attempt.TypeDatabaseUnavailable: export.CodeTimedOut,
		attempt.TypeOvertaken:           export.CodeTimedOut,
		attempt.TypeStorageFull:         export.CodeStorageUnavailable,
		attempt.TypeExportDeleted:       export.CodeCancelled,
		attempt.TypeWorkerStopping:      export.CodeTimedOut,
		attempt.TypeInterrupted:         export.CodeTimedOut,
	}
	for kind := range attempt.FailureCodes {
		if _, ok := codes[kind]; !ok {
			t.Errorf("the failure code for %s is not tested", kind)
		}
	}
	for _, name := range working {
		for kind, code := range codes {
			if kind == attempt.TypeWorkerStopping {
				continue // see TestAnExportFailsWhenWorkersHandItOverForTwelveHours
			}
			for retryable, err := range map[bool]error{
				false: sdk.NewNonRetryableApplicationError("no", kind, nil),
				true:  sdk.NewApplicationError("not now", kind),
			} {
				t.Run(fmt.Sprintf("%s/%s/retryable=%v", name, kind, retryable), func(t *testing.T) {
					k := newSkipping(t, newComposing(2).failing(name, 0, err))
					got := k.export()
					k.wantFailed(got, code)
					var applicationErr *sdk.ApplicationError
					if !errors.As(got, &applicationErr) || applicationErr.Type() != kind {
						t.Errorf("the workflow failed with %v", got)
					}
					if tries := len(k.called(name)); retryable == (tries <= 2) { // without retries, each of the two ranges is tried at most once
						t.Errorf("%s was tried %d times", name, tries)
					}
				})
			}
		}
	}
}

// wantFailed checks that the export was recorded as failed with the code and purged after that.
func (k *skipping) wantFailed(got error, code string) {
	k.t.Helper()
	if got == nil || sdk.IsCanceledError(got) {
		k.t.Errorf("the workflow ended with %v", got)
	}
	if k.code != code {
		k.t.Errorf("the export failed with %q, want %q", k.code, code)
	}
	// Count each activity once, however often it was tried. This test cannot check that no range is still
	// being written, because the test environment does not wait for cancelled activities. The tests on a
	// real server check that.
	var endings []string
	for _, c := range k.called("") {
		if !slices.Contains([]string{"Fail", "Expire", "Purge"}, c.name) || slices.Contains(endings, c.name) {
			continue
		}
		endings = append(endings, c.name)
	}
	if !slices.Equal(endings, []string{"Fail", "Purge"}) {
		k.t.Errorf("the export ended with %q, want Fail and Purge", endings)
	}
}

func TestAnActivityThatTimesOutEndsTheExportWithTimedOut(t *testing.T) {
	for _, name := range working {
		t.Run(name, func(t *testing.T) {
			k := newSkipping(t, newComposing(2).failing(name, 0, sdk.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil)))
			err := k.export()
			k.wantFailed(err, export.CodeTimedOut)
			var timeout *sdk.TimeoutError
			if !errors.As(err, &timeout) {
				t.Errorf("the workflow failed with %v", err)
			}
		})
	}
}

func TestATimeoutWithACauseEndsTheExportWithTheCodeOfTheCause(t *testing.T) {
	cause := sdk.NewApplicationError("no route to host", attempt.TypeSourceUnavailable)
	k := newSkipping(t, newStub(2).failing("WriteRange", 0, sdk.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, cause)))
	k.wantFailed(k.export(), export.CodeSourceUnavailable)
}

func TestFailAndPurgeAreRetriedUntilTheySucceed(t *testing.T) {
	for _, name := range []string{"Fail", "Purge"} {
		t.Run(name, func(t *testing.T) {
			s := newStub(1).failing("Plan", 0, sdk.NewNonRetryableApplicationError("no", attempt.TypeSourceInvalid, nil))
			s.failing(name, 8, errors.New("the database is away")) // 8 times, because the test environment gives up after 10 attempts
			k := newSkipping(t, s)
			k.wantFailed(k.export(), export.CodeSourceInvalid)
			if tries := len(s.called(name)); tries != 9 {
				t.Errorf("%s was tried %d times", name, tries)
			}
		})
	}
}

func TestExpireAndPurgeAreRetriedUntilTheySucceed(t *testing.T) {
	for _, name := range []string{"Expire", "Purge"} {
		t.Run(name, func(t *testing.T) {
			k := newSkipping(t, newStub(1).failing(name, 8, errors.New("the database is away")))
			if err := k.export(); err != nil {
				t.Fatal(err)
			}
			if tries := len(k.called(name)); tries != 9 {
				t.Errorf("%s was tried %d times", name, tries)
			}
		})
	}
}

func TestAFailureThatCannotBeRecordedIsReturnedWithTheFirstError(t *testing.T) {
	s := newStub(1).failing("Plan", 0, sdk.NewNonRetryableApplicationError("first reason", attempt.TypeInvalidExport, nil))
	s.failing("Fail", 0, sdk.NewNonRetryableApplicationError("second reason", attempt.TypeInvalidExport, nil))
	err := newSkipping(t, s).export()
	for _, reason := range []string{"first reason", "second reason"} {
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("the workflow failed with %v", err)
		}
	}
}

func TestAnExpireThatFailsForGoodFailsTheWorkflow(t *testing.T) {
	for name, want := range map[string][]string{
		"Expire": {"Plan", "WriteRange 0", "Publish", "Expire"},
		"Purge":  {"Plan", "WriteRange 0", "Publish", "Expire", "Purge"},
	} {
		k := newSkipping(t, newStub(1).failing(name, 0, sdk.NewNonRetryableApplicationError("gone", attempt.TypeInvalidExport, nil)))
		if err := k.export(); err == nil || sdk.IsCanceledError(err) {
			t.Errorf("%s: the workflow ended with %v", name, err)
		}
		k.wantCalls(t, want...)
	}
}

func TestThePausesBetweenAttemptsGrow(t *testing.T) {
	short := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}
	for name, longer := range map[string][]time.Duration{
		"Publish": {time.Minute, time.Minute}, "Expire": {time.Minute, time.Minute},
		"Purge": {64 * time.Second, 128 * time.Second}, // the test environment makes only 10 attempts
	} {
		k := newSkipping(t, newStub(1).failing(name, 9, errors.New("the store is away")))
		if err := k.export(); err != nil {
			t.Fatal(err)
		}
		if waits, want := k.pauses(name), slices.Concat(short, longer); !slices.Equal(waits, want) {
			t.Errorf("the pauses of %s were %v, want %v", name, waits, want)
		}
	}
}

// A migration takes a table away for seconds. If the table stays away, somebody must act, so it makes no sense to
// try again every minute.
func TestThePausesGrowToAQuarterOfAnHourWhileATableIsMissing(t *testing.T) {
	for _, name := range []string{"Plan", "WriteRange"} {
		s := newStub(1)
		s.on[name] = func(ctx context.Context, _ int) error {
			if len(s.called(name)) <= 9 {
				return attempt.SourceError(ctx, "memories", &pq.Error{Code: "42P01"})
			}
			return nil
		}
		k := newSkipping(t, s)
		if err := k.export(); err != nil {
			t.Fatal(err)
		}
		const longest = 15 * time.Minute
		want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, longest, longest, longest}
		if waits := k.pauses(name); !slices.Equal(waits, want) {
			t.Errorf("the pauses of %s were %v, want %v", name, waits, want)
		}
	}
}

// pauses returns the times between the starts of successive attempts of an activity.
func (s *stub) pauses(name string) []time.Duration {
	calls := s.called(name)
	var waits []time.Duration
	for i := range calls[1:] {
		waits = append(waits, calls[i+1].at.Sub(calls[i].at))
	}
	return waits
}
