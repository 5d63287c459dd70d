package benchstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// purgeTimeout is how long WaitPurged waits for objects to be deleted.
const purgeTimeout = 3 * time.Minute

// Discard deletes exports and returns when their objects are deleted too, so that the deletion does
// not slow down the next measurement.
func (s *Stack) Discard(ctx context.Context, c Client, ids ...string) error {
	for _, id := range ids {
		if err := c.Delete(ctx, id); err != nil {
			return err
		}
	}
	return s.WaitPurged(ctx, ids...)
}

// WaitPurged returns when the objects of deleted exports are deleted too.
func (s *Stack) WaitPurged(ctx context.Context, ids ...string) error {
	deadline := time.Now().Add(purgeTimeout)
	for _, id := range ids {
		for {
			left, err := s.hasObjects(id)
			if err != nil {
				return err
			}
			if !left {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("export %s was deleted, but after %s its objects are still there", id, purgeTimeout)
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// StoredBytes returns the total size of the objects of a READY export.
func (s *Stack) StoredBytes(id string) (int64, error) { return sizeOf(s.objects(id)) }

// BucketBytes returns the total size of all objects.
func (s *Stack) BucketBytes() (int64, error) { return sizeOf(s.bucket) }

// sizeOf returns the total size of the files in a directory. Files may come and go meanwhile.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

func (s *Stack) objects(id string) string { return filepath.Join(s.bucket, "exports", id) }

// hasObjects reports whether there are objects of an export, in the directory or on the S3 server.
func (s *Stack) hasObjects(id string) (bool, error) {
	dirs := []string{s.objects(id)}
	if s.S3 != nil {
		dirs = append(dirs, filepath.Join(s.S3.objects, "exports", id))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// exportTiny makes n exports of the tiny workspace at once.
func (s *Stack) exportTiny(ctx context.Context, n int) error {
	c, err := s.Client(ctx, Tiny)
	if err != nil {
		return err
	}
	var ids []string
	for range n {
		e, err := c.Create(ctx, "json")
		if err != nil {
			return err
		}
		ids = append(ids, e.ID)
	}
	for _, id := range ids {
		if _, err := c.Wait(ctx, id); err != nil {
			return err
		}
	}
	return s.Discard(ctx, c, ids...)
}
