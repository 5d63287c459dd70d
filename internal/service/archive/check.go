package archive

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"gocloud.dev/blob"
)

// Check reports why the bucket cannot be read, if so.
func (a *Archive) Check(ctx context.Context) error {
	err := a.call(ctx, func(call context.Context) error {
		if a.dir != "" { // what may not be read looks empty to a list
			if _, err := os.ReadDir(a.dir); err != nil {
				return err
			}
		}
		_, _, err := a.bucket.ListPage(call, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: "exports/"})
		return err
	})
	if gone(err) {
		return fmt.Errorf("%w: create it, or correct BUCKET_URL: %w", errNoBucket, err)
	}
	return err
}

// probes is where CheckWrites writes: beside the exports, so that no sweep takes it for one.
const probes = "memexport-probe/"

// CheckWrites reports why objects cannot be written to the bucket or deleted, if so. It writes a
// small one and deletes it.
func (a *Archive) CheckWrites(ctx context.Context) error {
	key := probes + uuid.NewString()
	if err := a.upload(ctx, key, []byte("probe")); err != nil {
		return fmt.Errorf("an object cannot be written to the bucket: %w", err)
	}
	err := a.call(ctx, func(call context.Context) error { return a.bucket.Delete(call, key) })
	if err != nil {
		return fmt.Errorf("the object %s cannot be deleted from the bucket, so that exports would stay for ever: %w", key, err)
	}
	return nil
}
