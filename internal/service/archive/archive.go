// Package archive keeps the parts of exports in a bucket and presents them as the one file that
// they make.
package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/format"
)

// Part is an immutable object in the bucket: some whole memories, encoded, or a stretch of one.
type Part struct {
	Object    string // its key
	Size      int64  // bytes of the file
	Checksum  uint64 // XXH64 of the object's bytes
	Continues bool   // it starts in the middle of a memory, so that no separator precedes it
	Separated bool   // it begins with the separator, which the file has between parts otherwise

	// Of a compressed part the bytes of the object, and the CRC-32 (as in gzip) of those of the file;
	// zero if the object is the bytes of the file.
	CompressedSize int64
	CRC            uint32
}

// opening is what the file has where the part begins: a literal before it, and how many of its own
// bytes it does without. The first part needs no separator.
func (p *Part) opening(f *format.Format, first bool) (literal string, skip int64) {
	switch {
	case p.Continues:
		return "", 0
	case first && p.Separated:
		return "", int64(len(f.Separator))
	case first || p.Separated:
		return "", 0
	}
	return f.Separator, 0
}

// objectSize is the length of the object in bytes.
func (p *Part) objectSize() int64 { return cmp.Or(p.CompressedSize, p.Size) }

// Archive is a bucket that holds exports.
type Archive struct {
	// Compress has Put store parts compressed. What is stored is read back whatever it says.
	Compress bool
	// Composes says that exports are also composed to one object each, so that DeleteExport has to look
	// for what was left of that.
	Composes bool

	bucket *blob.Bucket
	name   string // the bucket's
	folder string // in it, the prefix that the URL gives
	dir    string // of a file:// bucket
	// Of an S3 bucket, how its objects are to be encrypted, and with which key; "" is as the bucket says.
	encryption, kmsKey string

	patience patience
}

// Open opens the bucket that a URL of gocloud.dev/blob names: file, s3, gs or azblob. A file://
// bucket's directory is created; its objects are synced to disk and carry no sidecar files. Of an S3
// store that is not Amazon's no checksums are asked that are newer than most of them; the URL can.
func Open(ctx context.Context, bucketURL string) (*Archive, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	a := &Archive{patience: usual, name: u.Host, folder: query.Get("prefix"), encryption: query.Get("ssetype"), kmsKey: query.Get("kmskeyid")}
	switch {
	case u.Scheme == "file":
		a.dir = filepath.FromSlash(u.Path)
		query.Set("create_dir", "1")
		query.Set("metadata", "skip")
		query.Set("no_tmp_dir", "1") // rename needs the same file system
		u.RawQuery = query.Encode()
	case u.Scheme == "s3" && cmp.Or(query.Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL")) != "":
		for _, name := range []string{"request_checksum_calculation", "response_checksum_validation"} {
			query.Set(name, cmp.Or(query.Get(name), "when_required"))
		}
		u.RawQuery = query.Encode()
	}
	if a.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, err
	}
	return a, nil
}

// Close lets go of the bucket.
func (a *Archive) Close() error { return a.bucket.Close() }

// prefix is where the objects of an export are, and nothing else.
func prefix(exportID string) string { return "exports/" + exportID + "/" }

// Put stores data as the part with this number of a range. The object's key has the checksum in it:
// an attempt that repeats itself overwrites bytes with the same bytes, and one that is late can
// never overwrite a part that differs. When Put returns nil the bytes are durable; when it fails,
// what is visible under the key, if anything, is the whole part that a store took all the same.
func (a *Archive) Put(ctx context.Context, exportID string, rangeNumber, number int, data []byte) (Part, error) {
	part := Part{Size: int64(len(data))}
	if a.Compress {
		compressed := compressedBuffers.Get().(*bytes.Buffer)
		defer compressedBuffers.Put(compressed)
		compressed.Reset()
		if err := deflate(compressed, data); err != nil {
			return part, err
		}
		part.CompressedSize, part.CRC = int64(compressed.Len()), crc32.ChecksumIEEE(data)
		data = compressed.Bytes()
	}
	part.Checksum = xxhash.Sum64(data)
	part.Object = fmt.Sprintf("%s%03d-%06d-%016x", prefix(exportID), rangeNumber, number, part.Checksum)
	return part, a.upload(ctx, part.Object, data)
}

// upload writes an object, durably, in one request, so that a cancel leaves nothing half done.
func (a *Archive) upload(ctx context.Context, key string, data []byte) error {
	body, dir := bytes.NewReader(data), ""
	options := &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BufferSize:  len(data) + 1, // what is smaller than the buffer is not sent in blocks
		BeforeWrite: func(as func(any) bool) error {
			var file *os.File
			var manager *transfermanager.Client
			switch {
			case as(&file):
				// Written here, since the driver would give its name also to a file that it could not
				// write to the end, as on a full disk.
				dir = filepath.Dir(file.Name())
				n, err := writeDirect(file, data)
				if err == nil {
					_, err = file.Write(data[n:])
				}
				body.Reset(nil) // nothing is left for the driver
				return errors.Join(err, file.Sync())
			case as(&manager):
				a.uploadAtOnce(manager, int64(len(data)))
			}
			return nil
		},
	}
	call, cancel := context.WithTimeout(ctx, a.patience.upload(len(data)))
	defer cancel()
	// Not by a Writer: that of azureblob panics when the store refuses.
	err := a.bucket.Upload(call, key, body, options)
	if gone(err) {
		err = fmt.Errorf("%w: %w", errNoBucket, err)
	}
	if err == nil && dir != "" {
		err = errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
	}
	return explain(ctx, err)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// uploadAtOnce has S3 take objects of this size in one request: a multipart upload that is cut off
// stays, unseen and paid for.
func (a *Archive) uploadAtOnce(manager *transfermanager.Client, size int64) {
	var client *s3.Client
	if size < 5<<20 || !a.bucket.As(&client) { // the least that can be in several parts
		return
	}
	*manager = *transfermanager.New(client, func(o *transfermanager.Options) {
		o.RequestChecksumCalculation = client.Options().RequestChecksumCalculation
		o.MultipartUploadThreshold = size + 1
	})
}

// DeleteExport deletes every object of an export, recorded or orphaned. What is gone already is
// no error.
func (a *Archive) DeleteExport(ctx context.Context, exportID string) error {
	// Page by page: a list of files fails when others delete what it is about to look at.
	for token := blob.FirstPageToken; token != nil; {
		var page []*blob.ListObject
		err := a.call(ctx, func(call context.Context) (err error) {
			page, token, err = a.bucket.ListPage(call, token, listPage, &blob.ListOptions{Prefix: prefix(exportID)})
			return err
		})
		if err != nil {
			return err
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for _, object := range page {
			group.Go(func() error {
				err := a.call(groupCtx, func(call context.Context) error { return a.bucket.Delete(call, object.Key) })
				if gone(err) {
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	if a.Composes {
		if err := a.abortUploads(ctx, prefix(exportID)); err != nil {
			return err
		}
	}
	if a.dir != "" { // a bucket of files leaves the directory
		err := os.Remove(filepath.Join(a.dir, filepath.FromSlash(a.folder+prefix(exportID))))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain(ctx, err)
		}
	}
	return nil
}

// listPage is how many objects are listed at once: as many as every store does.
const listPage = 1000

// Exports calls visit with the id of every export that has objects in the bucket. What else is
// there, under names that are no UUIDs, is somebody else's.
func (a *Archive) Exports(ctx context.Context, visit func(exportID string) error) error {
	dirs := a.bucket.List(&blob.ListOptions{Prefix: "exports/", Delimiter: "/"})
	for {
		dir, err := a.next(ctx, dirs)
		if dir == nil {
			return err
		}
		id := strings.TrimSuffix(strings.TrimPrefix(dir.Key, "exports/"), "/")
		if !dir.IsDir || len(id) != 36 || uuid.Validate(id) != nil {
			continue
		}
		if err := visit(id); err != nil {
			return err
		}
	}
}

// LastWritten is when the newest object of an export was written; zero if it has none.
func (a *Archive) LastWritten(ctx context.Context, exportID string) (time.Time, error) {
	var last time.Time
	objects := a.bucket.List(&blob.ListOptions{Prefix: prefix(exportID)})
	for {
		object, err := a.next(ctx, objects)
		if object == nil {
			return last, err
		}
		if object.ModTime.After(last) {
			last = object.ModTime
		}
	}
}

// next is the next object of a list, nil after the last.
func (a *Archive) next(ctx context.Context, objects *blob.ListIterator) (object *blob.ListObject, err error) {
	err = a.call(ctx, func(call context.Context) (err error) {
		if object, err = objects.Next(call); errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	return object, err
}
