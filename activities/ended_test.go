package activities_test

import (
	"context"
	"testing"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// endings sets Ended to a function that notes the current status of the export id each time the function
// is called. endings returns the noted statuses.
func (h *harness) endings(id *string) *[]export.Status {
	var seen []export.Status
	h.Ended = func(_ context.Context, workspace string) {
		if workspace != workspaceID {
			h.Errorf("Ended is called for the workspace %s", workspace)
		}
		seen = append(seen, h.find(*id).Status)
	}
	return &seen
}

func TestEndedIsCalledAfterAnExportHasEnded(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	var id string
	seen := h.endings(&id)
	want := func(what string, statuses ...export.Status) {
		t.Helper()
		if len(*seen) != len(statuses) {
			t.Fatalf("%s: Ended was called with the statuses %v, want %v", what, *seen, statuses)
		}
		for i, status := range statuses {
			if (*seen)[i] != status {
				t.Errorf("%s: the export was %s when Ended was called, want %s", what, (*seen)[i], status)
			}
		}
		*seen = nil
	}
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	want("before the end")
	must[activities.PublishResult](h, h.Publish, in)
	want("Publish", export.Ready)
	must[activities.PublishResult](h, h.Publish, in) // a second attempt, as after a crash before Ended was called
	want("Publish again", export.Ready)
	must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	want("Expire")

	id = h.create(format.JSON)
	h.fail(id, export.CodeCancelled)
	want("Fail", export.Failed)
	h.fail(id, export.CodeCancelled)
	want("Fail again", export.Failed)
}
