package activities

import (
	"context"

	"memexport/internal/service/memory"
)

// ExportRef names the export that an activity works on.
type ExportRef struct {
	ExportID string `json:"export_id"`
}

// PlanResult is how an export is divided. No range means that nothing matches.
type PlanResult struct {
	Ranges   []memory.PlannedRange `json:"ranges"`
	Parallel int                   `json:"parallel"` // ranges to write at the same time
	Compose  bool                  `json:"compose"`  // the file is also to be one object
}

// Plan makes a PENDING export PROCESSING and fixes what it will contain: the ranges of keys up to
// the greatest that exists now. A second attempt returns the plan of the first.
func (a *Activities) Plan(ctx context.Context, in ExportRef) (PlanResult, error) {
	defer alive(ctx)()
	e, err := a.Exports.Find(ctx, in.ExportID)
	if err != nil {
		return PlanResult{}, storeError(ctx, err)
	}
	var ranges []memory.PlannedRange
	if e.StartedAt == nil {
		if ranges, err = a.Source.Plan(ctx, e.Query()); err != nil {
			return PlanResult{}, sourceError(ctx, err)
		}
	}
	ranges, err = a.Exports.Start(ctx, in.ExportID, ranges)
	if err != nil {
		return PlanResult{}, storeError(ctx, err)
	}
	return PlanResult{Ranges: ranges, Parallel: a.Parallel, Compose: a.Archive.Composes()}, nil
}
