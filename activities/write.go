package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// WriteRangeInput names a range of an export's plan.
type WriteRangeInput struct {
	ExportID string       `json:"export_id"`
	Number   int          `json:"number"` // of the range, from 0
	Range    memory.Range `json:"range"`
}

// Written is what has been recorded.
type Written struct {
	Parts    int   `json:"parts"`
	Memories int64 `json:"memories"`
	Bytes    int64 `json:"bytes"`
}

// Add adds what other says.
func (w *Written) Add(other Written) {
	w.Parts += other.Parts
	w.Memories += other.Memories
	w.Bytes += other.Bytes
}

// WriteRange writes the memories of a range as parts and records each. It goes on after the last
// part that is recorded, whichever attempt wrote it. If another attempt gets in between, recording
// fails and this one stops: its unrecorded object is an orphan, the recorded parts stay as they are.
func (a *Activities) WriteRange(ctx context.Context, in WriteRangeInput) (Written, error) {
	defer alive(ctx)()
	e, f, err := a.find(ctx, in.ExportID)
	if err != nil {
		return Written{}, err
	}
	parts, err := a.Exports.Parts(ctx, in.ExportID, in.Number)
	if err != nil {
		return Written{}, storeError(ctx, err)
	}
	var written Written
	var after *memory.Key
	for _, p := range parts {
		written.Add(Written{1, p.Memories, p.Size})
		after = &p.Last
	}
	if e.Status != export.Processing { // published already, and the workflow was reset
		return written, nil
	}
	activity.GetLogger(ctx).Debug("writing a range", "export", in.ExportID, "range", in.Number, "recorded_parts", len(parts))

	working, cancel := untilWorkerStops(ctx)
	defer cancel()
	w := newRangeWriter(working, f, partUploader{a.Exports, a.Archive, in.ExportID, in.Number, len(parts)})
	readErr := a.Source.Read(w.ctx, e.Query(), in.Range, after, w.add)
	added, writeErr := w.close(readErr == nil)
	switch {
	case interrupted(working) != nil && (readErr != nil || writeErr != nil):
		return Written{}, interrupted(working)
	case writeErr != nil: // it comes first: a failed upload is why reading was cut off
		return Written{}, writeErr
	case readErr != nil:
		return Written{}, sourceError(ctx, readErr)
	}
	written.Add(added)
	return written, nil
}
