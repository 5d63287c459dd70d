package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/metrics"
	"memexport/internal/service/partwriter"
)

// PlanInput names the export to plan. It is encoded like ExportRef, which earlier versions passed to Plan.
type PlanInput struct {
	ExportID string `json:"export_id"`
	// PublishSmall allows Plan to publish a small export. It is false in workflows that the code of an
	// earlier version has started.
	PublishSmall bool `json:"publish_small,omitempty"`
}

// PlanResult says how an export is divided into ranges. It has no ranges if no memory matches the filter.
type PlanResult struct {
	Ranges   []memory.PlannedRange `json:"ranges"`
	Parallel int                   `json:"parallel"`         // ranges to write at the same time
	Compose  bool                  `json:"compose"`          // whether to run Compose
	Settled  Settled               `json:"settled,omitzero"` // set if the export has ended: then there is nothing to write
	// Published is set if Plan has also written and published the export.
	Published *PublishedSmall `json:"published,omitempty"`
}

// Plan makes a PENDING export PROCESSING and records its plan: ranges of memory keys, up to the greatest
// key that exists now. A second attempt returns the plan that the first attempt recorded. If the export has
// ended, Plan changes nothing and returns how the export ended.
//
// If the input allows it and the export is small, Plan also does the work of WriteRange and Publish. This
// saves two activities, which cost much more than writing a few memories.
func (a *Activities) Plan(ctx context.Context, in PlanInput) (PlanResult, error) {
	defer attempt.Heartbeat(ctx)()
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return PlanResult{}, err
	}
	if settled := a.settled(e); settled.Is() {
		a.ended(ctx, e.WorkspaceID) // an earlier attempt may have published the export and died before it called ended
		return PlanResult{Settled: settled}, nil
	}
	// Check here whether the export was deleted, because a DELETE request cannot cancel a workflow that is
	// only just being started.
	if e.DeletedAt != nil {
		return PlanResult{}, attempt.Final(attempt.TypeExportDeleted, errors.New("the export was deleted before it was written"))
	}
	var ranges []memory.PlannedRange
	if e.StartedAt == nil {
		if ranges, err = a.Source.Plan(ctx, e.Query()); err != nil {
			return PlanResult{}, attempt.SourceError(ctx, a.Source.Name(), err)
		}
	}
	ranges, err = a.Exports.Start(ctx, in.ExportID, ranges)
	if err != nil {
		return PlanResult{}, attempt.DatabaseError(ctx, err)
	}
	plan := PlanResult{Ranges: ranges, Parallel: a.Parallel, Compose: a.Archive.Composes()}
	if in.PublishSmall && small(plan) {
		plan.Published, err = a.publishSmall(ctx, e, f, plan)
	}
	return plan, err
}

// WriteRangeInput names a range of an export's plan.
type WriteRangeInput struct {
	ExportID string       `json:"export_id"`
	Number   int          `json:"number"` // the number of the range, from 0
	Range    memory.Range `json:"range"`
}

// WriteRange writes the memories of a range as parts and records each part. It continues after the last
// recorded part, whichever attempt wrote that part. If another attempt records a part or completes the range
// first, WriteRange returns an error. The recorded parts then stay, and Purge later deletes the object that
// WriteRange could not record. An attempt that finds the range complete returns what is recorded, even if
// memories were added or deleted since.
func (a *Activities) WriteRange(ctx context.Context, in WriteRangeInput) (export.Written, error) {
	defer attempt.Heartbeat(ctx)()
	trace.SpanFromContext(ctx).SetAttributes(attribute.Int("memexport.range", in.Number))
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return export.Written{}, err
	}
	complete, recorded, err := a.recorded(ctx, in.ExportID, in.Number)
	if err != nil {
		return export.Written{}, err
	}
	written := export.Count(recorded)
	if complete || e.Status != export.Processing { // not PROCESSING: the workflow was reset after it had published this export
		return written, nil
	}
	added, err := a.write(ctx, partwriter.Job{Export: e, Format: f, Number: in.Number, Bounds: in.Range, Recorded: recorded})
	return written.Plus(added), err
}

// recorded returns the recorded parts of a range, and whether the range is complete.
func (a *Activities) recorded(ctx context.Context, id string, number int) (complete bool, parts []export.Part, err error) {
	complete, err = a.Exports.RangeComplete(ctx, id, number) // this must come before the parts are read, because a complete range gets no more parts
	if err == nil {
		parts, err = a.Exports.PartsOfRange(ctx, id, number)
	}
	return complete, parts, attempt.DatabaseError(ctx, err)
}

// write writes the memories of a range that follow the recorded parts.
func (a *Activities) write(ctx context.Context, job partwriter.Job) (export.Written, error) {
	if err := noGap(job.Recorded); err != nil {
		return export.Written{}, err
	}
	activity.GetLogger(ctx).Debug("writing a range", "export_id", job.Export.ID, "range", job.Number, "recorded_parts", len(job.Recorded))
	defer metrics.RangesInFlight.Begin(ctx)()
	added, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) (export.Written, error) {
		return a.writer().Write(ctx, job)
	})
	a.noteFull(ctx, job.Export.ID, err)
	return added, err
}

// noGap returns a final error if a part is missing between the recorded parts, which are in the order of the
// file. Then the file would lack memories. Record leaves no gap, but workers of earlier versions could
// leave one when Postgres lost a commit.
func noGap(recorded []export.Part) error {
	number, next := 0, 0 // the range, and the number of its next part
	for _, p := range recorded {
		if p.Range == export.FooterRange {
			break // the number of the footer is the number of all parts
		}
		if p.Range != number {
			number, next = p.Range, 0
		}
		if p.Number != next {
			return attempt.Final(attempt.TypeCountMismatch, fmt.Errorf("part %d of range %d is not recorded, but part %d is", next, p.Range, p.Number))
		}
		next++
	}
	return nil
}

// noteFull records that the store is full, if err means that. The API then refuses new exports.
func (a *Activities) noteFull(ctx context.Context, id string, err error) {
	if !attempt.IsStorageFull(err) {
		return
	}
	if err := a.Exports.StoreFull(ctx, id); err != nil {
		activity.GetLogger(ctx).Warn("the API does not learn that the store is full", "export_id", id, "error", attempt.SafeMessage(err))
	}
}

// VerifyInput names a range that has been written, and holds the digest of the file up to the beginning of
// the range.
type VerifyInput struct {
	ExportID string         `json:"export_id"`
	Number   int            `json:"number"`
	Digest   archive.Digest `json:"digest"`
}

// Verify reads the parts of a range back from the store, compares each with its checksum, and returns
// the digest of the file up to and including the range.
func (a *Activities) Verify(ctx context.Context, in VerifyInput) (archive.Digest, error) {
	defer attempt.Heartbeat(ctx)()
	trace.SpanFromContext(ctx).SetAttributes(attribute.Int("memexport.range", in.Number))
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return in.Digest, err
	}
	if e.Status != export.Processing { // the workflow was reset after it had published this export
		return in.Digest, nil
	}
	recorded, err := a.Exports.PartsOfRange(ctx, in.ExportID, in.Number)
	if err != nil {
		return in.Digest, attempt.DatabaseError(ctx, err)
	}
	return a.verify(ctx, f, in.Digest, recorded)
}

// verify reads parts back from the store. It returns digest, extended by the bytes of these parts.
func (a *Activities) verify(ctx context.Context, f *format.Format, digest archive.Digest, parts []export.Part) (archive.Digest, error) {
	began := time.Now()
	extended, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) (archive.Digest, error) {
		extended, err := a.Archive.Extend(ctx, f, digest, export.Stored(parts))
		return extended, attempt.StorageError(ctx, err)
	})
	switch {
	case err == nil:
		metrics.VerifySeconds.Record(ctx, time.Since(began).Seconds(), f.Name)
		metrics.BytesVerified.Add(ctx, extended.Size-digest.Size, f.Name)
	case ctx.Err() != nil || attempt.ErrorType(err) == attempt.TypeWorkerStopping:
		metrics.VerifyFailed.Add(ctx, 1, "Stopped")
	default:
		metrics.VerifyFailed.Add(ctx, 1, attempt.ErrorType(err))
	}
	return extended, err
}
