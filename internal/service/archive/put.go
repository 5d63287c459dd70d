package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cespare/xxhash/v2"
	"gocloud.dev/blob"

	"memexport/internal/service/format"
)

// Part describes an immutable object in the bucket. It holds whole encoded memories, or a section
// of one memory that is too large for a single part.
type Part struct {
	Object    string // key in the bucket
	Size      int64  // uncompressed size in bytes
	Checksum  uint64 // XXH64 of the object's bytes
	Continues bool   // starts in the middle of a memory, so no separator precedes it
	Separated bool   // the part's own bytes start with the separator; otherwise File inserts it

	// CompressedSize is the object's size in bytes and CRC the CRC-32 of the uncompressed bytes, as in
	// gzip. Both are zero for a part that is stored uncompressed.
	CompressedSize int64
	CRC            uint32
}

// opening says how the part joins the file. It returns the literal to write before the part, and how
// many bytes at the start of the part to skip. No separator precedes the first part.
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

// extraUploads is the capacity of ExtraUploads. Each extra upload needs RAM for a part, and four of them
// hide the latency of a store that answers after 100 ms.
const extraUploads = 4

// ExtraUploads returns the places for uploads beyond the first one of each range: sending to the channel
// takes a place, and receiving gives it back. A store on the network answers late, so that one upload at a
// time would leave a range idle. All ranges share the places, so that RAM does not grow with their number.
// The channel is nil for a directory, whose disk is not faster with several files at once.
func (a *Archive) ExtraUploads() chan struct{} { return a.extra }

// Put stores data as the part with the given number within a range. The object's key contains the
// checksum of its bytes. So a retry overwrites the object with the same bytes, and a late attempt
// with other bytes writes another object and cannot overwrite a recorded part.
//
// When Put returns nil, the bytes are durable. When Put fails, the store may still have accepted the
// upload. The object is then complete, never truncated.
func (a *Archive) Put(ctx context.Context, exportID string, rangeNumber, number int, data []byte) (Part, error) {
	part := Part{Size: int64(len(data))}
	if a.options.Compress {
		compressed := compressedBuffers.Get().(*bytes.Buffer)
		defer compressedBuffers.Put(compressed)
		compressed.Reset()
		if err := deflate(compressed, data); err != nil {
			return part, err
		}
		part.CompressedSize, part.CRC = int64(compressed.Len()), crc32.ChecksumIEEE(data)
		data = compressed.Bytes()
	}
	return a.put(ctx, part, exportID, rangeNumber, number, data)
}

// PutAsIs is like Put, but never compresses the part, even if Options.Compress is set. It is for
// formats whose files are compressed already.
func (a *Archive) PutAsIs(ctx context.Context, exportID string, rangeNumber, number int, data []byte) (Part, error) {
	return a.put(ctx, Part{Size: int64(len(data))}, exportID, rangeNumber, number, data)
}

// put stores the object of part, and returns part with its key and checksum.
func (a *Archive) put(ctx context.Context, part Part, exportID string, rangeNumber, number int, object []byte) (Part, error) {
	part.Checksum = xxhash.Sum64(object)
	part.Object = fmt.Sprintf("%s%03d-%06d-%016x", prefix(exportID), rangeNumber, number, part.Checksum)
	return part, a.upload(ctx, part.Object, object)
}

// upload writes an object durably and in a single request, so that a cancelled upload leaves no fragment.
//
// If the disk of a directory hangs, upload returns an error while a goroutine still writes the temporary file.
// If the caller then changes data, the goroutine may write the changed bytes. They never become an object: the
// context of write ends when upload returns, and the driver then deletes the temporary file instead of
// renaming it.
func (a *Archive) upload(ctx context.Context, key string, data []byte) error {
	limit := a.uploadTimeout(len(data))
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := await(a, limit, func() (none struct{}, err error) { return none, a.write(limited, key, data) }, nil)
	return explain(ctx, err)
}

func (a *Archive) write(ctx context.Context, key string, data []byte) error {
	body, dir := bytes.NewReader(data), ""
	options := &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BufferSize:  len(data) + 1, // larger than the data, so that no driver divides the upload
		BeforeWrite: func(as func(any) bool) error {
			var file *os.File
			var manager *transfermanager.Client
			switch {
			case as(&file):
				// The data is written here, not by the driver: the driver renames the temporary file
				// even if writing it failed, for example on a full disk.
				dir = filepath.Dir(file.Name())
				n, err := 0, file.Chmod(0o600) // the driver would let the umask decide the mode
				if err == nil {
					n, err = writeDirect(file, data)
				}
				if err == nil {
					_, err = file.Write(data[n:])
				}
				body.Reset(nil) // the driver has nothing left to write
				return errors.Join(err, file.Sync())
			case as(&manager):
				body.Reset(nil) // sendWhole passes the data on
				return a.sendWhole(manager, data)
			}
			return nil
		},
	}
	// Upload is used instead of a Writer, because azureblob's Writer panics when the store rejects
	// the request.
	err := a.bucket.Upload(ctx, key, body, options)
	if isNotFound(err) {
		err = fmt.Errorf("%w: %w", errNoBucket, err)
	}
	if err == nil && dir != "" {
		err = errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
	}
	return err
}

// syncDir makes the entries of a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sendWhole makes the S3 SDK upload data in one request, whatever body it is given. By itself, the SDK would
// first copy the body, into a buffer that grows step by step, and would upload a large one in several
// requests. An interrupted upload of several requests would stay in the bucket, invisible and billed.
func (a *Archive) sendWhole(manager *transfermanager.Client, data []byte) error {
	client, err := a.s3Client()
	if err != nil {
		return err
	}
	*manager = *transfermanager.New(wholeBody{client, data}, func(o *transfermanager.Options) {
		o.RequestChecksumCalculation = client.Options().RequestChecksumCalculation
	})
	return nil
}

// wholeBody is an S3 client that uploads data in place of every body.
type wholeBody struct {
	*s3.Client
	data []byte
}

// PutObject uploads w.data.
func (w wholeBody) PutObject(ctx context.Context, in *s3.PutObjectInput, options ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	in.Body = bytes.NewReader(w.data)
	return w.Client.PutObject(ctx, in, options...)
}
