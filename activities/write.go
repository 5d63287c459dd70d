package activities

import (
	"context"
	"errors"
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

// PlanResult says how an export is divided into ranges. It has no ranges if no memory matches the filter.
type PlanResult struct {
	Ranges   []memory.PlannedRange `json:"ranges"`
	Parallel int                   `json:"parallel"`         // ranges to write at the same time
	Compose  bool                  `json:"compose"`          // whether to run Compose
	Settled  Settled               `json:"settled,omitzero"` // set if the export has ended: then there is nothing to write
}

// Plan makes a PENDING export PROCESSING and records its plan: ranges of memory keys, up to the greatest
// key that exists now. A second attempt returns the plan that the first attempt recorded. If the export has
// ended, Plan changes nothing and returns how the export ended.
func (a *Activities) Plan(ctx context.Context, in ExportRef) (PlanResult, error) {
	defer attempt.Heartbeat(ctx)()
	e, err := a.Exports.Find(ctx, in.ExportID)
	if err != nil {
		return PlanResult{}, attempt.DatabaseError(ctx, err)
	}
	if settled := a.settled(e); settled.Is() {
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
	return PlanResult{Ranges: ranges, Parallel: a.Parallel, Compose: a.Archive.Composes()}, nil
}

// WriteRangeInput names a range of an export's plan.
type WriteRangeInput struct {
	ExportID string       `json:"export_id"`
	Number   int          `json:"number"` // the number of the range, from 0
	Range    memory.Range `json:"range"`
}

// WriteRange writes the memories of a range as parts and records each part. It continues after the last
// recorded part, whichever attempt wrote it. If another attempt records a part or completes the range first,
// WriteRange returns an error: what is recorded stays, and Purge later deletes the object that WriteRange
// could not record. An attempt that finds the range complete returns what is recorded, even if memories were
// added or deleted since.
func (a *Activities) WriteRange(ctx context.Context, in WriteRangeInput) (export.Written, error) {
	defer attempt.Heartbeat(ctx)()
	trace.SpanFromContext(ctx).SetAttributes(attribute.Int("memexport.range", in.Number))
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return export.Written{}, err
	}
	complete, err := a.Exports.RangeComplete(ctx, in.ExportID, in.Number) // before the parts are read, so that these are all
	if err != nil {
		return export.Written{}, attempt.DatabaseError(ctx, err)
	}
	recorded, err := a.Exports.PartsOfRange(ctx, in.ExportID, in.Number)
	if err != nil {
		return export.Written{}, attempt.DatabaseError(ctx, err)
	}
	written := export.Count(recorded)
	if complete || e.Status != export.Processing { // not PROCESSING: the workflow was reset after it had published this export
		return written, nil
	}
	activity.GetLogger(ctx).Debug("writing a range", "export_id", in.ExportID, "range", in.Number, "recorded_parts", len(recorded))
	defer metrics.RangesInFlight.Begin(ctx)()
	added, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) (export.Written, error) {
		return a.writer().Write(ctx, partwriter.Job{Export: e, Format: f, Number: in.Number, Bounds: in.Range, Recorded: recorded})
	})
	a.noteFull(ctx, in.ExportID, err)
	return written.Plus(added), err
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
	return a.verify(ctx, f, in)
}

func (a *Activities) verify(ctx context.Context, f *format.Format, in VerifyInput) (archive.Digest, error) {
	recorded, err := a.Exports.PartsOfRange(ctx, in.ExportID, in.Number)
	if err != nil {
		return in.Digest, attempt.DatabaseError(ctx, err)
	}
	began := time.Now()
	digest, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) (archive.Digest, error) {
		digest, err := a.Archive.Extend(ctx, f, in.Digest, export.Stored(recorded))
		return digest, attempt.StorageError(ctx, err)
	})
	if err == nil {
		metrics.VerifySeconds.Record(ctx, time.Since(began).Seconds(), f.Name)
		metrics.BytesVerified.Add(ctx, digest.Size-in.Digest.Size, f.Name)
	}
	return digest, err
}
