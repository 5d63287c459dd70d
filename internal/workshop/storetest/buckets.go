package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)

// Create creates the bucket on the server. The variables of Env must be set in this process.
func (s *Store) Create(ctx context.Context) error {
	if s.Name == "gcs" {
		body, err := json.Marshal(map[string]string{"name": s.Bucket})
		if err != nil {
			return err
		}
		response, err := http.Post("http://"+s.Address+"/storage/v1/b?project=test", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
	bucket, err := blob.OpenBucket(ctx, s.URL())
	if err != nil {
		return err
	}
	defer bucket.Close()
	var amazon *s3.Client
	var azure *container.Client
	switch {
	case bucket.As(&amazon):
		_, err = amazon.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.Bucket})
	case bucket.As(&azure):
		_, err = azure.Create(ctx, nil)
	default:
		err = fmt.Errorf("cannot create a bucket in the store %s", s.Name)
	}
	return err
}

// Objects returns the sizes of all objects in the bucket, by key. For a directory, the result
// contains all files, including temporary ones. A file that is deleted while Objects runs may be
// missing.
func (s *Store) Objects(t testing.TB) map[string]int64 {
	t.Helper()
	if s.Dir != "" {
		found, err := files(os.DirFS(s.Dir))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := map[string]int64{}
	bucket := s.Open(t)
	for objects := bucket.List(nil); ; {
		object, err := objects.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[object.Key] = object.Size
	}
}

// files returns the sizes of all files in a directory. Other processes may change the directory
// meanwhile.
func files(dir fs.FS) (map[string]int64, error) {
	found := map[string]int64{}
	err := fs.WalkDir(dir, ".", func(key string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && key != "." {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file was deleted or renamed after its directory was read, for example the .tmp file of an upload
		}
		if err != nil {
			return err
		}
		found[key] = info.Size()
		return nil
	})
	return found, err
}

// Open opens the bucket with the Go CDK, without the code under test.
func (s *Store) Open(t testing.TB) *blob.Bucket {
	t.Helper()
	s.Setenv(t)
	bucket, err := blob.OpenBucket(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	return bucket
}

// Uploads returns the keys of uploads that were neither completed nor aborted. A listing of objects
// does not show these uploads, but their storage costs money. Only S3 and Azure can list uploads.
// For other stores the result is empty.
func (s *Store) Uploads(t testing.TB) []string {
	t.Helper()
	var keys []string
	var amazon *s3.Client
	var azure *container.Client
	switch bucket := s.Open(t); {
	case bucket.As(&amazon):
		page, err := amazon.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		for _, upload := range page.Uploads {
			keys = append(keys, *upload.Key)
		}
	case bucket.As(&azure):
		committed := s.Objects(t)
		pager := azure.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{UncommittedBlobs: true}})
		for pager.More() {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Segment.BlobItems {
				if _, ok := committed[*item.Name]; !ok {
					keys = append(keys, *item.Name)
				}
			}
		}
	}
	return keys
}
