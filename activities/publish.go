package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/partwriter"
)

// Compose makes the store join the parts into one object, which clients can download directly from the
// store. Compose returns the zero value if the store cannot join the parts, because there are too many or
// because of their lengths. The API then sends the file.
func (a *Activities) Compose(ctx context.Context, in ExportRef) (archive.Composed, error) {
	defer attempt.Heartbeat(ctx)()
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return archive.Composed{}, err
	}
	if e.Status != export.Processing { // the workflow was reset after it had published this export
		return archive.Composed{}, nil
	}
	if err := a.finish(ctx, e, f); err != nil {
		return archive.Composed{}, err
	}
	if _, err := a.writeFooter(ctx, e, f); err != nil {
		return archive.Composed{}, err
	}
	recorded, err := a.Exports.Parts(ctx, in.ExportID)
	if err != nil {
		return archive.Composed{}, attempt.DatabaseError(ctx, err)
	}
	reason := "it has too many parts"
	composed, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) (archive.Composed, error) {
		composed, err := a.Archive.Compose(ctx, in.ExportID, f, export.Stored(recorded))
		if errors.Is(err, archive.ErrNotJoined) { // a retry would be refused too
			reason = err.Error()
			return archive.Composed{}, nil
		}
		return composed, attempt.StorageError(ctx, err)
	})
	a.noteFull(ctx, in.ExportID, err)
	if err == nil && composed.Object == "" {
		activity.GetLogger(ctx).Warn("the file stays in parts, and the API will send it", "export_id", in.ExportID, "reason", reason)
	}
	return composed, err
}

// PublishInput holds the results of the activities before Publish: the counts of all ranges, the
// digest of all ranges but the last, and the composed object, if there is one.
type PublishInput struct {
	ExportID string           `json:"export_id"`
	Ranges   int              `json:"ranges"`
	Written  export.Written   `json:"written"`
	Digest   archive.Digest   `json:"digest"`
	Composed archive.Composed `json:"composed"`
}

// PublishResult describes the READY export.
type PublishResult struct {
	Memories  int64     `json:"memories"`
	Bytes     int64     `json:"bytes"`
	ExpiresAt time.Time `json:"expires_at"`
	Settled   Settled   `json:"settled,omitzero"` // set if the export had ended before: then Publish changed nothing
}

// Publish makes the export READY. It first writes what is missing. Then it verifies the last range and compares
// the counts that the ranges reported with the recorded parts and with the bytes that were read back. If the export
// has already ended, Publish changes nothing and returns how the export ended.
func (a *Activities) Publish(ctx context.Context, in PublishInput) (PublishResult, error) {
	defer attempt.Heartbeat(ctx)()
	e, f, err := a.load(ctx, in.ExportID)
	if err != nil {
		return PublishResult{}, err
	}
	if settled := a.settled(e); settled.Is() {
		a.ended(ctx, e.WorkspaceID) // an earlier attempt may have published the export and died before it called ended
		return PublishResult{Memories: settled.Memories, Bytes: settled.Bytes, ExpiresAt: settled.ExpiresAt, Settled: settled}, nil
	}
	if err := a.finish(ctx, e, f); err != nil {
		return PublishResult{}, err
	}
	return a.publish(ctx, e, f, in)
}

// finish writes the rest of each range that is not marked as complete. Otherwise the file could lack memories: with
// Temporal's CLI, somebody may have completed an activity that still had work to do. In that case the counts then
// differ from what the activity reported, and the export fails. Usually every range is marked.
// A mark is missing, although nothing else is, if Postgres has lost its commit or a worker of version 0.1.0 wrote the
// range.
func (a *Activities) finish(ctx context.Context, e export.Export, f *format.Format) error {
	incomplete, err := a.Exports.IncompleteRanges(ctx, e.ID)
	if err != nil {
		return attempt.DatabaseError(ctx, err)
	}
	for number, bounds := range incomplete {
		recorded, err := a.Exports.PartsOfRange(ctx, e.ID, number)
		if err != nil {
			return attempt.DatabaseError(ctx, err)
		}
		if _, err := a.write(ctx, partwriter.Job{Export: e, Format: f, Number: number, Bounds: bounds, Recorded: recorded}); err != nil {
			return err
		}
	}
	return nil
}

func (a *Activities) publish(ctx context.Context, e export.Export, f *format.Format, in PublishInput) (PublishResult, error) {
	file, err := a.verifiedFile(ctx, e, f, in)
	if err != nil {
		return PublishResult{}, err
	}
	if e, err = a.Exports.Publish(ctx, in.ExportID, file, a.Retention); err != nil {
		return PublishResult{}, attempt.DatabaseError(ctx, err)
	}
	a.ended(ctx, e.WorkspaceID)
	return PublishResult{Memories: e.MemoryCount, Bytes: *e.SizeBytes, ExpiresAt: *e.ExpiresAt}, nil
}

// writeFooter writes the footer of the file, if the format has one.
func (a *Activities) writeFooter(ctx context.Context, e export.Export, f *format.Format) ([]export.Part, error) {
	footer, err := attempt.UntilWorkerStops(ctx, func(ctx context.Context) ([]export.Part, error) {
		return a.writer().WriteFooter(ctx, e, f)
	})
	a.noteFull(ctx, e.ID, err)
	return footer, err
}

// verifiedFile writes the footer, verifies the footer and the last range, and returns the file of the
// export, or an error if the counts, the digest and the composed object do not agree.
func (a *Activities) verifiedFile(ctx context.Context, e export.Export, f *format.Format, in PublishInput) (export.File, error) {
	footer, err := a.writeFooter(ctx, e, f)
	if err != nil {
		return export.File{}, err
	}
	recorded, err := a.Exports.Parts(ctx, in.ExportID)
	if err != nil {
		return export.File{}, attempt.DatabaseError(ctx, err)
	}
	if err := noGap(recorded); err != nil { // the counts below cannot show a gap, because they come from the same rows
		return export.File{}, err
	}
	var unverified []export.Part // the ranges before the last one were verified while later ones were written
	for _, p := range recorded {
		if p.Range == in.Ranges-1 || p.Range == export.FooterRange {
			unverified = append(unverified, p)
		}
	}
	digest, err := a.verify(ctx, f, in.Digest, unverified)
	if err != nil {
		return export.File{}, err
	}
	want := in.Written.Plus(export.Count(footer))
	if total := export.Count(recorded); total != want || total.Parts != digest.Parts {
		return export.File{}, attempt.Final(attempt.TypeCountMismatch,
			fmt.Errorf("%+v was reported, but %+v is recorded and %d parts were verified", want, total, digest.Parts))
	}
	sum, size, err := digest.Finish(f)
	if err != nil {
		return export.File{}, attempt.Final(attempt.TypeCountMismatch, err)
	}
	if c := in.Composed; c.Object != "" && (c.Size != size || !bytes.Equal(c.SHA256, sum)) {
		return export.File{}, attempt.Final(attempt.TypeStorageCorrupt,
			fmt.Errorf("the parts have %d bytes (SHA-256 %x), but the composed object has %d (SHA-256 %x)", size, sum, c.Size, c.SHA256))
	}
	return export.File{Parts: len(recorded), Memories: in.Written.Memories, Size: size, SHA256: sum, Object: in.Composed.Object}, nil
}
