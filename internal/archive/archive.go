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

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"
)

// Part is an immutable object in the bucket: some whole memories, encoded, or a stretch of one.
type Part struct {
	Object    string // its key
	Size      int64  // bytes of the file
	Checksum  uint64 // XXH64 of the object's bytes
	Continues bool   // it starts in the middle of a memory, so that no separator precedes it

	// Of a compressed part the bytes of the object, and the CRC-32 (as in gzip) of those of the file;
	// zero if the object is the bytes of the file.
	CompressedSize int64
	CRC            uint32
}

// objectSize is the length of the object in bytes.
func (p *Part) objectSize() int64 { return cmp.Or(p.CompressedSize, p.Size) }

// Archive is a bucket that holds exports.
type Archive struct {
	// Compress has Put store parts compressed. What is stored is read back whatever it says.
	Compress bool

	bucket *blob.Bucket
	dir    string // of a file:// bucket
}

// Open opens the bucket that a URL of gocloud.dev/blob names: file, s3, gs or azblob. A file://
// bucket's directory is created; its objects are synced to disk and carry no sidecar files.
func Open(ctx context.Context, bucketURL string) (*Archive, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, err
	}
	a := &Archive{}
	if u.Scheme == "file" {
		a.dir = filepath.FromSlash(u.Path)
		query := u.Query()
		query.Set("create_dir", "1")
		query.Set("metadata", "skip")
		query.Set("no_tmp_dir", "1") // rename needs the same file system
		u.RawQuery = query.Encode()
	}
	if a.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, err
	}
	return a, nil
}

// Close lets go of the bucket.
func (a *Archive) Close() error { return a.bucket.Close() }

// Check reports why the bucket cannot be used, if so.
func (a *Archive) Check(ctx context.Context) error {
	ok, err := a.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("the bucket does not exist or may not be read")
	}
	return err
}

// prefix is where the objects of an export are, and nothing else.
func prefix(exportID string) string { return "exports/" + exportID + "/" }

// Put stores data as the part with this number of a range. The object's key has the checksum in it:
// an attempt that repeats itself overwrites bytes with the same bytes, and one that is late can
// never overwrite a part that differs. When Put returns nil the bytes are durable; when it fails or
// ctx ends, nothing is visible under the key.
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
	var file *os.File // a second handle on what a file:// bucket writes
	options := &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BufferSize:  len(data), // one request, so that a cancel leaves no multipart upload behind
		BeforeWrite: func(as func(any) bool) (err error) {
			var f *os.File
			if as(&f) {
				file, err = os.Open(f.Name())
			}
			return err
		},
	}
	err := a.bucket.Upload(ctx, part.Object, bytes.NewReader(data), options)
	if file != nil {
		defer file.Close()
		if err == nil {
			err = syncFile(file)
		}
	}
	return part, err
}

// syncFile makes a file that was just renamed durable, together with its name and its directory's.
func syncFile(file *os.File) error {
	if err := file.Sync(); err != nil {
		return err
	}
	dir := filepath.Dir(file.Name())
	for _, name := range []string{dir, filepath.Dir(dir)} {
		d, err := os.Open(name)
		if err != nil {
			return err
		}
		err = d.Sync()
		if err = errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// DeleteExport deletes every object of an export, recorded or orphaned. What is gone already is
// no error.
func (a *Archive) DeleteExport(ctx context.Context, exportID string) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	objects := a.bucket.List(&blob.ListOptions{Prefix: prefix(exportID)})
	for {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			err := a.bucket.Delete(groupCtx, object.Key)
			if gcerrors.Code(err) == gcerrors.NotFound {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if a.dir != "" { // a bucket of files leaves the directory
		err := os.Remove(filepath.Join(a.dir, filepath.FromSlash(prefix(exportID))))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Exports calls visit with the id of every export that has objects in the bucket. What else is
// there, under names that are no UUIDs, is somebody else's.
func (a *Archive) Exports(ctx context.Context, visit func(exportID string) error) error {
	dirs := a.bucket.List(&blob.ListOptions{Prefix: "exports/", Delimiter: "/"})
	for {
		dir, err := dirs.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
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
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if object.ModTime.After(last) {
			last = object.ModTime
		}
	}
}

// Denied reports whether err is a refusal that trying again will not change.
func Denied(err error) bool {
	return gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission)
}
