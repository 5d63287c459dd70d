package benchstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3://

	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/measure"
	"memexport/internal/workshop/process"
	"memexport/internal/workshop/storetest"
)

// S3 is an S3 server in a process of its own, with one bucket.
type S3 struct {
	server   *devstack.Server
	delays   *storetest.Delays
	uploader string // the program in the folder upload
	objects  string // the directory in which the server keeps the objects of the bucket
}

const bucketName = "exports"

// s3Credentials are the variables with the credentials of the server.
var s3Credentials = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=testsecret", "AWS_EC2_METADATA_DISABLED=true"}

// startS3 starts the server and creates the bucket.
func (s *Stack) startS3(ctx context.Context) (err error) {
	s.S3 = &S3{uploader: filepath.Join(s.WorkDir, "upload")}
	build := exec.Command("go", "build", "-o", s.S3.uploader, "memexport/internal/workshop/benchstack/upload")
	if _, err := process.Run(ctx, build, process.RunOptions{}); err != nil {
		return fmt.Errorf("build upload: %w", err)
	}
	dir := filepath.Join(s.WorkDir, "s3")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	options, err := storetest.ServerOptions(ctx, "s3", dir)
	if err != nil {
		return err
	}
	if s.S3.server, err = devstack.StartServer(ctx, options); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.S3.server.Stop(); return nil })
	if s.S3.delays, err = storetest.StartDelays(ctx, dir); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.S3.delays.Stop(); return nil })
	for _, variable := range s3Credentials {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	s.S3.objects = filepath.Join(dir, "buckets", bucketName)
	return s.S3.withBucket(ctx, func(bucket *blob.Bucket) error {
		var client *s3.Client
		if !bucket.As(&client) {
			return errors.New("the bucket is not in S3")
		}
		name := bucketName
		_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		return err
	})
}

// Address returns the address of the server.
func (s *S3) Address() string { return s.server.Address }

// CPU returns the processor time that the server has used.
func (s *S3) CPU() time.Duration { return measure.CPUTime(s.server.PID) }

// Delayed returns the address of a proxy in front of the server. The proxy delays each answer by delay, as if a
// round trip took that much longer.
func (s *S3) Delayed(ctx context.Context, delay time.Duration) (address string, err error) {
	return s.delays.Of(ctx, s.server.Address, delay)
}

// Settings returns settings for Stack.Restart. With them, the service keeps exports in the bucket. The address
// belongs to the server or to a proxy in front of it.
func (s *S3) Settings(address string) []string {
	return append([]string{"BUCKET_URL=" + bucketURL(address)}, s3Credentials...)
}

func bucketURL(address string) string {
	return "s3://" + bucketName + "?" + url.Values{"endpoint": {"http://" + address}, "region": {"us-east-1"}, "use_path_style": {"true"}}.Encode()
}

func (s *S3) withBucket(ctx context.Context, do func(*blob.Bucket) error) error {
	bucket, err := blob.OpenBucket(ctx, bucketURL(s.server.Address))
	if err != nil {
		return err
	}
	defer bucket.Close()
	return do(bucket)
}

// Save writes an object to a file.
func (s *S3) Save(ctx context.Context, key, path string) error {
	return s.withBucket(ctx, func(bucket *blob.Bucket) error {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return errors.Join(bucket.Download(ctx, key, file, nil), file.Close())
	})
}

// Delete deletes an object and returns the size that it had in bytes.
func (s *S3) Delete(ctx context.Context, key string) (size int64, err error) {
	err = s.withBucket(ctx, func(bucket *blob.Bucket) error {
		attributes, err := bucket.Attributes(ctx, key)
		if err != nil {
			return err
		}
		size = attributes.Size
		return bucket.Delete(ctx, key)
	})
	return size, err
}
