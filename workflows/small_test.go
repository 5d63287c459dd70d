package workflows_test

import (
	"errors"
	"testing"
	"time"

	sdk "go.temporal.io/sdk/temporal"

	"memexport/internal/service/export"
)

func TestASmallExportIsPublishedByItsFirstActivity(t *testing.T) {
	k := newSkipping(t, newSmall())
	if err := k.export(); err != nil {
		t.Fatal(err)
	}
	k.wantCalls(t, "Plan", "Expire", "Purge")
	k.wantAt("Expire", 72*time.Hour)
	k.wantAt("Purge", 73*time.Hour)
}

func TestACancelAtHour71OfASmallExportExpiresAndPurgesAtOnce(t *testing.T) {
	k := newSkipping(t, newSmall())
	k.RegisterDelayedCallback(k.CancelWorkflow, 71*time.Hour)
	if err := k.export(); !sdk.IsCanceledError(err) {
		t.Errorf("the workflow ended with %v", err)
	}
	k.wantCalls(t, "Plan", "Expire", "Purge")
	k.wantAt("Purge", 71*time.Hour)
}

func TestASmallExportThatFailsIsRecordedAndPurged(t *testing.T) {
	const errorType = "StorageDenied"
	k := newSkipping(t, newSmall().failing("Plan", 0, sdk.NewNonRetryableApplicationError("no", errorType, nil)))
	err := k.export()
	k.wantFailed(err, export.CodeStorageDenied)
	var got *sdk.ApplicationError
	if !errors.As(err, &got) || got.Type() != errorType {
		t.Errorf("the workflow failed with %v", err)
	}
}
