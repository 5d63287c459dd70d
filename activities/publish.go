package activities

import (
	"context"
	"fmt"
	"time"

	"memexport/internal/archive"
	"memexport/internal/export"
	"memexport/internal/format"
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
	parts := make([]archive.Part, len(recorded))
	for i := range recorded {
		parts[i] = recorded[i].Part
	}
	working, cancel := untilWorkerStops(ctx)
	defer cancel()
	digest, err := a.Archive.Extend(working, f, in.Digest, parts)
	if interrupted(working) != nil {
		return in.Digest, interrupted(working)
	}
	if err != nil {
		return in.Digest, storageError(ctx, err)
	}
	return digest, nil
}

// PublishInput says what the ranges reported, and the digest of all of them but the last.
type PublishInput struct {
	ExportID string         `json:"export_id"`
	Ranges   int            `json:"ranges"`
	Written  Written        `json:"written"`
	Digest   archive.Digest `json:"digest"`
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
		if e, err = a.Exports.Publish(ctx, in.ExportID, in.Written.Memories, size, sum, a.Retention); err != nil {
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
