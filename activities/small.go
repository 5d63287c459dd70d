package activities

import (
	"context"
	"errors"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/partwriter"
)

// smallEstimate is the largest estimated number of memories of a small export. A part holds about so many memories of
// 760 bytes, and writing them takes a tenth of a second.
const smallEstimate = 11_000

// PublishedSmall describes a small export that Plan has published.
type PublishedSmall struct {
	PublishResult
	Written export.Written `json:"written"`
}

// small reports whether Plan may publish an export. If the store must compose the file, the export is not
// small, because composing has an activity of its own.
func small(plan PlanResult) bool {
	return !plan.Compose && (len(plan.Ranges) == 0 || len(plan.Ranges) == 1 && plan.Ranges[0].Estimate <= smallEstimate)
}

// publishSmall writes, verifies and publishes a small export. e is the export as it was when the attempt began.
// If the estimate was too low, publishSmall stops after the first part and returns nil, and WriteRange writes
// the rest.
func (a *Activities) publishSmall(ctx context.Context, e export.Export, f *format.Format, plan PlanResult) (*PublishedSmall, error) {
	var recorded []export.Part
	complete := len(plan.Ranges) == 0
	if e.StartedAt != nil && !complete { // an earlier attempt may have recorded the part
		var err error
		if complete, recorded, err = a.recorded(ctx, e.ID, 0); err != nil {
			return nil, err
		}
	}
	written := export.Count(recorded)
	if !complete {
		added, err := a.write(ctx, partwriter.Job{Export: e, Format: f, Bounds: plan.Ranges[0].Range, Recorded: recorded, OnePart: true})
		if errors.Is(err, partwriter.ErrMore) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		written = written.Plus(added)
	}
	published, err := a.publish(ctx, e, f, PublishInput{ExportID: e.ID, Ranges: len(plan.Ranges), Written: written})
	if err != nil {
		return nil, err
	}
	return &PublishedSmall{PublishResult: published, Written: written}, nil
}
