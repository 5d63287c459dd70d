// Package archive stores the parts of an export as objects in a bucket, and reads them back as one
// file.
package archive

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)

// Options configure an Archive. The zero value is ready to use.
type Options struct {
	// Compress makes Put store parts compressed, at about a quarter of their size. Reading works for
	// compressed and uncompressed parts, whatever Compress is.
	Compress bool

	// Compose announces that the method Compose will be called. DeleteExport then also looks for
	// multipart uploads that a crashed process left unfinished. Only S3 buckets support Compose.
	Compose bool

	// StallTimeout is how long a read waits for the next byte. The default is 30 seconds. A healthy
	// store needs one or two seconds. On a connection that was lost without notice, no byte ever
	// arrives.
	StallTimeout time.Duration

	// RequestTimeout limits every request that is not a read, including the SDK's retries. An upload
	// gets more time, depending on its size. The default is a minute, which leaves room for several
	// retries.
	RequestTimeout time.Duration
}

// Archive is a bucket that holds exports. Its methods may be called by several goroutines at once.
type Archive struct {
	options Options

	bucket     *blob.Bucket
	bucketName string // as the S3 API needs it
	folder     string // the URL's prefix parameter, with which every key begins
	dir        string // the directory of a file:// bucket; otherwise empty
	extra      chan struct{}
	further    chan struct{} // places of parts that downloads open further ahead than one

	hung *atomic.Int64 // operations that nobody waits for any more; see await

	// encryption and kmsKey choose the server-side encryption of objects in S3. If they are empty,
	// the bucket's default applies.
	encryption, kmsKey string
}

// Open opens the bucket at a URL of gocloud.dev/blob with the scheme file, s3, gs or azblob. For
// file://, Open creates the directory. The objects in it are synced to disk and have no sidecar
// files, and only the user of the process can read them. For S3-compatible stores other than AWS, the
// SDK's newer checksums are off unless the URL turns them on.
func Open(ctx context.Context, bucketURL string, options Options) (*Archive, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	options.StallTimeout = cmp.Or(options.StallTimeout, 30*time.Second)
	options.RequestTimeout = cmp.Or(options.RequestTimeout, time.Minute)
	a := &Archive{
		options:    options,
		hung:       new(atomic.Int64),
		bucketName: u.Host,
		folder:     query.Get("prefix"),
		encryption: query.Get("ssetype"),
		kmsKey:     query.Get("kmskeyid"),
	}
	switch {
	case u.Scheme == "file":
		a.dir = filepath.FromSlash(u.Path)
		query.Set("create_dir", "1")
		query.Set("metadata", "skip")
		query.Set("no_tmp_dir", "1") // put temporary files next to the objects, because a rename cannot cross file systems
		query.Set("dir_file_mode", "0700")
		u.RawQuery = query.Encode()
	case u.Scheme == "s3" && cmp.Or(query.Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL")) != "":
		for _, name := range []string{"request_checksum_calculation", "response_checksum_validation"} {
			query.Set(name, cmp.Or(query.Get(name), "when_required"))
		}
		u.RawQuery = query.Encode()
	}
	if a.dir == "" {
		a.extra = make(chan struct{}, extraUploads)
		a.further = make(chan struct{}, furtherAhead)
	}
	if a.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, err
	}
	return a, nil
}

// Composes reports whether the archive was opened with Options.Compose.
func (a *Archive) Composes() bool { return a.options.Compose }

// Close releases the bucket.
func (a *Archive) Close() error { return a.bucket.Close() }

// prefix returns the prefix of all objects of an export, and of no others.
func prefix(exportID string) string { return "exports/" + exportID + "/" }

// request calls do with a context that ends after Options.RequestTimeout, and passes do's error
// through explain. Without the limit, a connection that was lost without notice, or an SDK that keeps
// retrying, would block an export until an operator noticed.
func (a *Archive) request(ctx context.Context, do func(limited context.Context) error) error {
	_, err := request(ctx, a, func(limited context.Context) (none struct{}, err error) { return none, do(limited) })
	return err
}

// request is like the method request, for a request with a result. The result of a request that hangs is dropped.
func request[T any](ctx context.Context, a *Archive, do func(limited context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, a.options.RequestTimeout)
	defer cancel()
	ends, _ := limited.Deadline() // the end of RequestTimeout, or the deadline of ctx if that is earlier
	result, err := await(a, time.Until(ends), func() (T, error) { return do(limited) }, nil)
	return result, explain(ctx, err)
}

// uploadTimeout returns the time limit of a request with a body of n bytes.
func (a *Archive) uploadTimeout(n int) time.Duration {
	const slowest = 64 << 10 // bytes per second; a slower store is useless for exports
	return a.options.RequestTimeout + time.Duration(n/slowest)*time.Second
}
