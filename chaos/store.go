package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3://

	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/storetest"
)

// startStore makes the bucket: a directory, if possible on a disk of its own, or a bucket of an S3 server behind a
// proxy.
func (s *stack) startStore(ctx context.Context, kind string) error {
	if kind == "file" {
		s.bucket = filepath.Join(s.dir, "disk", "bucket")
		s.bucketURL = "file://" + filepath.ToSlash(s.bucket)
		if err := s.mountDisk(ctx); err != nil {
			s.tell("the bucket has no disk of its own, so that the disk is never full, read-only or frozen: %v", err)
		}
		return os.MkdirAll(s.bucket, 0o755)
	}
	if kind != "s3" {
		return fmt.Errorf("-store is %q: set it to file or s3", kind)
	}
	o, err := storetest.ServerOptions(ctx, "s3", filepath.Join(s.dir, "s3"))
	if err != nil {
		return err
	}
	if s.store, err = devstack.StartServer(ctx, o); err != nil {
		return err
	}
	if s.storeProxy, err = newProxy(s.store.Address); err != nil {
		return err
	}
	direct := storetest.Store{Name: "s3", Bucket: "exports", Address: s.store.Address}
	for _, variable := range direct.Env() { // this process and the service use the same credentials
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	proxied := direct
	proxied.Address = s.storeProxy.address
	s.directURL, s.bucketURL = direct.URL(), proxied.URL()
	return direct.Create(ctx)
}

// stored is an object in the bucket.
type stored struct {
	key  string // exports/<id>/<name>
	when time.Time
}

// objects lists everything in the bucket over a direct connection. For a directory, that includes temporary files.
func (s *stack) objects(ctx context.Context) (found []stored, err error) {
	if s.store == nil {
		return s.files()
	}
	bucket, err := blob.OpenBucket(ctx, s.directURL)
	if err != nil {
		return nil, err
	}
	defer bucket.Close()
	for list := bucket.List(nil); ; {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, stored{o.Key, o.ModTime})
	}
}

func (s *stack) files() (found []stored, err error) {
	err = filepath.WalkDir(s.bucket, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			key, _ := filepath.Rel(s.bucket, path) // the walk begins at s.bucket
			found = append(found, stored{filepath.ToSlash(key), info.ModTime()})
		}
		return err
	})
	return found, err
}
