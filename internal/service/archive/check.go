package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob"
)

// Check returns an error that says why the bucket cannot be read, or nil if the bucket can be read.
func (a *Archive) Check(ctx context.Context) error {
	err := a.request(ctx, func(limited context.Context) error {
		if a.dir != "" { // fileblob lists a directory without read permission as empty
			if _, err := os.ReadDir(a.dir); err != nil {
				return err
			}
		}
		_, _, err := a.bucket.ListPage(limited, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: "exports/"})
		return err
	})
	if isNotFound(err) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: create it, or correct BUCKET_URL: %w", errNoBucket, err)
	}
	return err
}

// probePrefix is the prefix of the objects that the checks write. It lies outside exports/, so that
// a sweep never mistakes a probe for an export.
const probePrefix = "memexport-probe/"

// CheckWrites returns an error that says why objects cannot be written to the bucket or deleted from
// it, or nil if both work. It writes a small object and deletes it.
func (a *Archive) CheckWrites(ctx context.Context) error {
	key := probePrefix + uuid.NewString()
	if err := a.upload(ctx, key, []byte("probe")); err != nil {
		return fmt.Errorf("cannot write an object to the bucket: %w", err)
	}
	err := a.request(ctx, func(limited context.Context) error { return a.bucket.Delete(limited, key) })
	if err != nil {
		return fmt.Errorf("cannot delete the object %s from the bucket, so expired exports would never go away: %w", key, err)
	}
	return nil
}

// SweepProbes deletes the probes in a directory that were written before the given time. A process that is killed during
// CheckWrites leaves one. For other stores, SweepProbes does nothing: there a lifecycle rule deletes probes, and workers
// need no permission to list them.
func (a *Archive) SweepProbes(ctx context.Context, before time.Time) error {
	if a.dir == "" {
		return nil
	}
	var old []string
	for probes := a.bucket.List(&blob.ListOptions{Prefix: probePrefix}); ; {
		probe, err := a.next(ctx, probes)
		if err != nil {
			return err
		}
		if probe == nil {
			break
		}
		if probe.ModTime.Before(before) {
			old = append(old, probe.Key)
		}
	}
	var refusal error // of the first probe that cannot be deleted; the others are deleted all the same
	for _, key := range old {
		err := a.request(ctx, func(limited context.Context) error { return a.bucket.Delete(limited, key) })
		switch {
		case err == nil, isNotFound(err):
		case Away(err), ctx.Err() != nil:
			return err
		case refusal == nil:
			refusal = err
		}
	}
	return refusal
}
