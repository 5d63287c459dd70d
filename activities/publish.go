package activities

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// VerifyInput names a range that has been written, and the digest of the file before it.
type VerifyInput struct {
	ExportID string         `json:"export_id"`
	Number   int            `json:"number"`
	Digest   archive.Digest `json:"digest"`
}

// Verify reads the parts of a range back from the store, compares each with its checksum, and
// returns the digest of the file up to and including the range.
func (a *Activities) Verify(ctx context.Context, in VerifyInput) (archive.Digest, error) {
	defer alive(ctx)()
	e, f, err := a.find(ctx, in.ExportID)
	if err != nil {
		return in.Digest, err
	}
	if e.Status != export.Processing { // published already, and the workflow was reset
		return in.Digest, nil
	}
	return a.verify(ctx, f, in)
}

func (a *Activities) verify(ctx context.Context, f *format.Format, in VerifyInput) (archive.Digest, error) {
	recorded, err := a.Exports.Parts(ctx, in.ExportID, in.Number)
	if err != nil {
		return in.Digest, storeError(ctx, err)
	}
	working, cancel := untilWorkerStops(ctx)
	defer cancel()
	digest, err := a.Archive.Extend(working, f, in.Digest, export.Stored(recorded))
	if interrupted(working) != nil {
		return in.Digest, interrupted(working)
	}
	if err != nil {
		return in.Digest, storageError(ctx, err)
	}
	return digest, nil
}

// Compose has the store put the parts together as one object, which clients can get without the API.
// What it returns is zero where that is not possible.
func (a *Activities) Compose(ctx context.Context, in ExportRef) (archive.Composed, error) {
	defer alive(ctx)()
	e, f, err := a.find(ctx, in.ExportID)
	if err != nil {
		return archive.Composed{}, err
	}
	if e.Status != export.Processing { // published already, and the workflow was reset
		return archive.Composed{}, nil
	}
	recorded, err := a.Exports.Parts(ctx, in.ExportID, -1)
	if err != nil {
		return archive.Composed{}, storeError(ctx, err)
	}
	working, cancel := untilWorkerStops(ctx)
	defer cancel()
	composed, err := a.Archive.Compose(working, in.ExportID, f, export.Stored(recorded))
	if interrupted(working) != nil {
		return archive.Composed{}, interrupted(working)
	}
	if err == nil && composed.Object == "" {
		activity.GetLogger(ctx).Warn("the file has too many parts to be one object; the API will send it", "export", in.ExportID)
	}
	return composed, storageError(ctx, err)
}

// PublishInput says what the ranges reported, the digest of all of them but the last, and what they
// were composed to.
type PublishInput struct {
	ExportID string           `json:"export_id"`
	Ranges   int              `json:"ranges"`
	Written  Written          `json:"written"`
	Digest   archive.Digest   `json:"digest"`
	Composed archive.Composed `json:"composed"`
}

// PublishResult is what has become READY.
type PublishResult struct {
	Memories  int64     `json:"memories"`
	Bytes     int64     `json:"bytes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Publish verifies the last range, checks that what the ranges reported is what is recorded and
// what was read back, and makes the export READY: whole, or not at all.
func (a *Activities) Publish(ctx context.Context, in PublishInput) (PublishResult, error) {
	defer alive(ctx)()
	e, f, err := a.find(ctx, in.ExportID)
	if err != nil {
		return PublishResult{}, err
	}
	if e.ExpiresAt == nil { // else it has been published by an earlier attempt
		digest := in.Digest
		if in.Ranges > 0 {
			if digest, err = a.verify(ctx, f, VerifyInput{in.ExportID, in.Ranges - 1, in.Digest}); err != nil {
				return PublishResult{}, err
			}
		}
		if err := a.checkCounts(ctx, in, digest); err != nil {
			return PublishResult{}, err
		}
		sum, size, err := digest.Finish(f)
		if err != nil {
			return PublishResult{}, final(TypeCountMismatch, err)
		}
		if c := in.Composed; c.Object != "" && (c.Size != size || !bytes.Equal(c.SHA256, sum)) {
			return PublishResult{}, final(TypeStorageCorrupt, fmt.Errorf("the parts make %d bytes (SHA-256 %x), composed are %d (%x)", size, sum, c.Size, c.SHA256))
		}
		file := export.File{Memories: in.Written.Memories, Size: size, SHA256: sum, Object: in.Composed.Object}
		if e, err = a.Exports.Publish(ctx, in.ExportID, file, a.Retention); err != nil {
			return PublishResult{}, storeError(ctx, err)
		}
	}
	return PublishResult{Memories: e.MemoryCount, Bytes: *e.SizeBytes, ExpiresAt: *e.ExpiresAt}, nil
}

// checkCounts compares what the ranges reported with what is recorded and what was read back.
func (a *Activities) checkCounts(ctx context.Context, in PublishInput, digest archive.Digest) error {
	recorded, err := a.Exports.Parts(ctx, in.ExportID, -1)
	if err != nil {
		return storeError(ctx, err)
	}
	var total Written
	for _, p := range recorded {
		total.Add(Written{1, p.Memories, p.Size})
	}
	if total != in.Written || total.Parts != digest.Parts {
		return final(TypeCountMismatch, fmt.Errorf("the ranges reported %+v, recorded are %+v, verified %d parts", in.Written, total, digest.Parts))
	}
	return nil
}

// find reads the export and its format.
func (a *Activities) find(ctx context.Context, id string) (export.Export, *format.Format, error) {
	e, err := a.Exports.Find(ctx, id)
	if err != nil {
		return e, nil, storeError(ctx, err)
	}
	f, ok := format.Lookup(e.Format)
	if !ok {
		return e, nil, final(TypeInvalidExport, fmt.Errorf("unknown format %q", e.Format))
	}
	return e, f, nil
}
