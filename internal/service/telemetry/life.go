package telemetry

import (
	"context"
	"log/slog"

	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
)

// ObserveLife returns an observer that counts the steps in the life of exports and writes a line for each
// to the log. docs/metrics.md describes both.
func ObserveLife(log *slog.Logger) export.Observer {
	return func(ctx context.Context, step export.Step, e export.Export) {
		count(ctx, step, e)
		attrs := []any{"export_id", e.ID, "workspace_id", e.WorkspaceID, "created_by", e.CreatedBy, "format", e.Format}
		level := slog.LevelInfo
		switch step {
		case export.StepReady:
			attrs = append(attrs, "memories", e.MemoryCount, "bytes", *e.SizeBytes, "seconds", e.CompletedAt.Sub(e.CreatedAt).Seconds())
		case export.StepFailed:
			level = slog.LevelWarn
			attrs = append(attrs, "code", e.Failure.Code, "cause", e.Failure.Cause)
		}
		log.Log(e.InTrace(ctx), level, "export "+string(step), attrs...)
	}
}

func count(ctx context.Context, step export.Step, e export.Export) {
	switch step {
	case export.StepCreated:
		metrics.Created.Add(ctx, 1, e.Format)
	case export.StepStarted:
		metrics.StartSeconds.Record(ctx, e.StartedAt.Sub(e.CreatedAt).Seconds(), e.Format)
	case export.StepReady:
		metrics.Ended.Add(ctx, 1, string(export.Ready), metrics.None)
		metrics.ReadySeconds.Record(ctx, e.CompletedAt.Sub(e.CreatedAt).Seconds(), e.Format)
	case export.StepFailed:
		metrics.Ended.Add(ctx, 1, string(export.Failed), e.Failure.Code)
	case export.StepExpired:
		metrics.Ended.Add(ctx, 1, string(export.Expired), metrics.None)
	case export.StepPurged:
		metrics.Purged.Add(ctx, 1)
	case export.StepDeleted:
		metrics.Deleted.Add(ctx, 1, e.Format)
	}
}
