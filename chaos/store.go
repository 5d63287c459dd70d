package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3://

	"memexport/internal/workshop/devstack"
)

// s3Variables are the credentials of the S3 server, which the service and this process use.
var s3Variables = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=testsecret", "AWS_EC2_METADATA_DISABLED=true"}

const s3Bucket = "exports"

// startStore makes the bucket: a directory, or a bucket of an S3 server behind a proxy.
func (s *stack) startStore(ctx context.Context, kind string) error {
	if kind == "file" {
		s.bucket = filepath.Join(s.dir, "bucket")
		s.bucketURL = "file://" + filepath.ToSlash(s.bucket)
		return os.MkdirAll(s.bucket, 0o755)
	}
	if kind != "s3" {
		return fmt.Errorf("-store is %q: set it to file or s3", kind)
	}
	program, err := devstack.GoProgram(ctx, "stores", "versitygw", "github.com/versity/versitygw/cmd/versitygw", s.tell)
	if err != nil {
		return err
	}
	root, sidecar := filepath.Join(s.dir, "s3", "buckets"), filepath.Join(s.dir, "s3", "attributes")
	if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(sidecar, 0o755)); err != nil {
		return err
	}
	s.store, err = devstack.StartServer(ctx, devstack.ServerOptions{Name: "versitygw", Dir: s.dir,
		Command: func(port int) []string {
			return []string{program, "--access", "test", "--secret", "testsecret", "--port", fmt.Sprintf("127.0.0.1:%d", port),
				"--quiet", "--keep-alive", "posix", "--sidecar", sidecar, root}
		},
		Ready: func(ctx context.Context, address string) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			return response.Body.Close()
		}})
	if err != nil {
		return err
	}
	if s.storeProxy, err = newProxy(s.store.Address); err != nil {
		return err
	}
	s.bucketURL = s3URL(s.storeProxy.address)
	for _, variable := range s3Variables {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return s.withBucket(ctx, func(bucket *blob.Bucket) error {
		var amazon *s3.Client
		if !bucket.As(&amazon) {
			return errors.New("the bucket is not one of S3")
		}
		name := s3Bucket
		_, err := amazon.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		return err
	})
}

func s3URL(address string) string {
	return "s3://" + s3Bucket + "?" + url.Values{"endpoint": {"http://" + address}, "region": {"us-east-1"}, "use_path_style": {"true"}}.Encode()
}

// withBucket opens the S3 bucket over a direct connection.
func (s *stack) withBucket(ctx context.Context, do func(*blob.Bucket) error) error {
	bucket, err := blob.OpenBucket(ctx, s3URL(s.store.Address))
	if err != nil {
		return err
	}
	defer bucket.Close()
	return do(bucket)
}

// stored is an object in the bucket.
type stored struct {
	key  string // exports/<id>/<name>
	when time.Time
}

// objects lists everything in the bucket. For a directory, that includes temporary files.
func (s *stack) objects(ctx context.Context) (found []stored, err error) {
	if s.store != nil {
		err = s.withBucket(ctx, func(bucket *blob.Bucket) error {
			for list := bucket.List(nil); ; {
				o, err := list.Next(ctx)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				found = append(found, stored{o.Key, o.ModTime})
			}
		})
		return found, err
	}
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

// loseBucket puts a file in the place of the bucket, so that every access fails, as when a disk is gone.
func (s *stack) loseBucket() {
	if os.Rename(s.bucket, s.bucket+".away") == nil {
		_ = os.WriteFile(s.bucket, nil, 0o600) // if it fails, findBucket succeeds all the same
	}
}

func (s *stack) findBucket() error {
	if _, err := os.Stat(s.bucket + ".away"); err != nil {
		return nil
	}
	if err := os.Remove(s.bucket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.bucket+".away", s.bucket)
}
