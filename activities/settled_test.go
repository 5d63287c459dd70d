package activities_test

import (
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// TestASettledExportIsNotChanged runs all activities again after an export has ended, as a reset of its
// workflow does.
func TestASettledExportIsNotChanged(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	for name, c := range map[string]struct {
		settle func(id string) // ends a PROCESSING export whose parts are written
		want   activities.Settled
	}{
		"READY": {func(id string) {}, activities.Settled{Status: export.Ready, Memories: 20}},
		"EXPIRED": {func(id string) { must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id}) },
			activities.Settled{Status: export.Expired, Memories: 20}},
		"EXPIRED and purged": {func(id string) {
			must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
			must[any](h, h.Purge, h.ref(id))
		}, activities.Settled{Status: export.Expired, Memories: 20, Purged: true}},
		"deleted": {func(id string) {
			if err := h.Exports.Delete(t.Context(), workspaceID, id); err != nil {
				t.Fatal(err)
			}
			must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
		}, activities.Settled{Status: export.Expired, Memories: 20, Deleted: true}},
		"FAILED":            {nil, activities.Settled{Status: export.Failed, Code: export.CodeStorageDenied, Memories: 20}},
		"FAILED and purged": {nil, activities.Settled{Status: export.Failed, Code: export.CodeStorageDenied, Memories: 20, Purged: true}},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			id, plan := h.started(format.JSON)
			publish := h.written(id, plan)
			if c.settle == nil {
				h.fail(id, export.CodeStorageDenied)
				if c.want.Purged {
					must[any](h, h.Purge, h.ref(id))
				}
			} else {
				must[activities.PublishResult](h, h.Publish, publish)
				c.settle(id)
			}
			before, objects := h.find(id), h.objects(id)
			want := func(activity string, got activities.Settled) {
				t.Helper()
				if got.Status != c.want.Status || got.Code != c.want.Code || got.Memories != c.want.Memories || got.Purged != c.want.Purged || got.Deleted != c.want.Deleted {
					t.Errorf("%s found %+v, want %+v", activity, got, c.want)
				}
				if c.want.Status != export.Failed && got.ExpiresAt.IsZero() {
					t.Errorf("%s returned no expiry", activity)
				}
				soon := c.want.Status == export.Failed || c.want.Deleted
				if c.want.Status != export.Ready && (time.Until(got.PurgeAt) < time.Minute) != soon {
					t.Errorf("%s says that the objects are due in %v", activity, time.Until(got.PurgeAt))
				}
			}
			again := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
			want("Plan", again.Settled)
			for i, r := range plan.Ranges {
				must[export.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: i, Range: r.Range})
			}
			want("Publish", must[activities.PublishResult](h, h.Publish, publish).Settled)
			if c.want.Status != export.Ready {
				want("Fail", must[activities.Settled](h, h.Fail, activities.FailInput{ExportID: id, Code: export.CodeInternal}))
			}
			after := h.find(id)
			if after.Status != before.Status || !after.UpdatedAt.Equal(before.UpdatedAt) || h.objects(id) != objects {
				t.Errorf("the export was %+v with %d objects and is %+v with %d", before, objects, after, h.objects(id))
			}
		})
	}
}

func TestADeletedExportThatIsPlannedAgainIsNotWritten(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, _ := h.started(format.JSON)
	if err := h.Exports.Delete(t.Context(), workspaceID, id); err != nil {
		t.Fatal(err)
	}
	_, err := do[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
	wantFinal(t, err, attempt.TypeExportDeleted)
}
