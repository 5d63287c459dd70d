package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	sdk "go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
)

// errStopping is the error of an activity whose worker stops.
var errStopping = sdk.NewApplicationErrorWithOptions("the worker is shutting down", attempt.TypeWorkerStopping,
	sdk.ApplicationErrorOptions{Category: sdk.ApplicationErrorCategoryBenign})

func TestAnActivityThatAStoppingWorkerHandsOverRunsAgainAtOnce(t *testing.T) {
	for _, name := range working {
		t.Run(name, func(t *testing.T) {
			k := newSkipping(t, newComposing(2).failing(name, 1, errStopping))
			if err := k.export(); err != nil {
				t.Fatal(err)
			}
			for _, c := range k.called("Publish") {
				if wait := c.at.Sub(k.begin); wait != 0 {
					t.Errorf("the export waited for %v", wait)
				}
			}
		})
	}
}

func TestASmallExportThatAStoppingWorkerHandsOverIsPublished(t *testing.T) {
	k := newSkipping(t, newSmall().failing("Plan", 1, errStopping))
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantCalls(t, "Plan", "Plan", "Expire", "Purge")
}

func TestAnExportFailsWhenWorkersHandItOverForTwelveHours(t *testing.T) {
	for each, most := range map[time.Duration]int{5 * time.Hour: 3, 6 * time.Hour: 2} {
		k := newSkipping(t, newStub(1))
		began := 0
		k.OnActivity("WriteRange", mock.Anything, mock.Anything).After(each).Return(
			func(context.Context, activities.WriteRangeInput) (export.Written, error) {
				began++
				return export.Written{}, errStopping
			})
		k.wantFailed(k.export(), export.CodeTimedOut)
		if began > most {
			t.Errorf("the range was begun %d times, with attempts of %v", began, each)
		}
	}
}

func TestACancelledExportIsNotWrittenAgainAfterAHandOver(t *testing.T) {
	k := newSkipping(t, newStub(1))
	k.on["WriteRange"] = func(context.Context, int) error {
		k.CancelWorkflow()
		return errStopping
	}
	if err := k.export(); !sdk.IsCanceledError(err) || k.code != export.CodeCancelled {
		t.Errorf("the workflow ended with %v, and the export with %q", err, k.code)
	}
	if n := len(k.called("WriteRange")); n != 1 {
		t.Errorf("the range was begun %d times", n)
	}
}
