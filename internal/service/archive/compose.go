package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"gocloud.dev/blob"

	"memexport/internal/service/format"
)

// Composed is the file of an export as a single object, which clients can download directly from the
// store.
type Composed struct {
	Object string `json:"object"` // key in the bucket
	Size   int64  `json:"size"`   // bytes
	SHA256 []byte `json:"sha256"`
}

// S3 limits the pieces of a multipart upload. S3 calls them parts, but here a part is always a part of
// an export.
const (
	minPiece  = 5 << 20 // bytes; the last piece may be smaller
	maxPieces = 10_000
)

// piece is a section of a composed object.
type piece struct {
	segments []segment
	copied   bool // the store copies the piece from one object; otherwise this process uploads the segments
}

// pieces divides a file into pieces. The store itself copies every segment that is an uncompressed
// object and large enough. A smaller segment is joined with the segments that follow it.
func pieces(segments []segment) []piece {
	var all []piece
	var gathered []segment
	var size int64
	for _, s := range segments {
		if size == 0 && s.object != "" && !s.inflate && s.size >= minPiece {
			all = append(all, piece{segments: []segment{s}, copied: true})
			continue
		}
		gathered, size = append(gathered, s), size+s.size
		if size >= minPiece {
			all = append(all, piece{segments: gathered})
			gathered, size = nil, 0
		}
	}
	if size > 0 {
		all = append(all, piece{segments: gathered})
	}
	return all
}

// Compose makes the store join the parts into one object next to them. Then it reads that object back,
// and returns the key, size and SHA-256 of the object. It returns a zero Composed if the file needs
// more pieces than S3 allows, and ErrNotJoined if the store refuses the lengths of the pieces.
//
// A repeated call writes the same object again. A call that fails or is cancelled aborts its
// multipart upload. If the process dies before that, DeleteExport aborts the upload later. Only S3
// stores support Compose: see CheckCompose.
func (a *Archive) Compose(ctx context.Context, exportID string, f *format.Format, parts []Part) (Composed, error) {
	client, err := a.s3Client()
	if err != nil {
		return Composed{}, err
	}
	file := a.File(ctx, f, parts)
	all := pieces(file.segments)
	if len(all) > maxPieces {
		return Composed{}, nil
	}
	c := Composed{Object: prefix(exportID) + "file", Size: file.Size()}
	if err := a.uploadPieces(ctx, client, c.Object, f.ContentType, all); err != nil {
		return Composed{}, err
	}
	sum := sha256.New()
	object := a.object(ctx, c.Object, c.Size)
	defer object.Close()
	if _, err := io.CopyBuffer(sum, object, make([]byte, 256<<10)); err != nil {
		return Composed{}, err
	}
	c.SHA256 = sum.Sum(nil)
	return c, nil
}

// CheckCompose returns an error that says why Compose or SignedURL cannot work, or nil if both do. It
// composes an object of 10 MiB and deletes it. The lengths of its three pieces differ, as in most exports:
// some stores refuse that.
func (a *Archive) CheckCompose(ctx context.Context) error {
	client, err := a.s3Client()
	if err != nil {
		return err
	}
	const size = minPiece + 1
	key := probePrefix + uuid.NewString()
	composed := key + "-composed"
	var all []piece
	for _, length := range []int64{size, minPiece, 1} {
		all = append(all, piece{segments: []segment{{object: key, size: length, objectSize: size}}, copied: true})
	}
	err = a.upload(ctx, key, make([]byte, size))
	if err == nil {
		err = a.uploadPieces(ctx, client, composed, "text/plain", all)
	}
	if err == nil {
		_, err = a.SignedURL(ctx, composed, time.Minute, "probe")
	}
	if err != nil {
		err = fmt.Errorf("parts cannot be joined into one object: %w", err)
	} else if err = a.abortUploads(ctx, key); err != nil {
		err = fmt.Errorf("unfinished uploads cannot be listed: %w", err)
	}
	for _, object := range []string{key, composed} {
		deleteErr := a.request(ctx, func(limited context.Context) error { return a.bucket.Delete(limited, object) })
		if deleteErr != nil && !isNotFound(deleteErr) {
			err = errors.Join(err, fmt.Errorf("delete the object %s: %w", object, deleteErr))
		}
	}
	return err
}

// SignedURL returns a URL of the store for a composed object. Until lifetime has passed, anyone can
// download the object from this URL without credentials, under the given file name.
func (a *Archive) SignedURL(ctx context.Context, object string, lifetime time.Duration, filename string) (string, error) {
	disposition := fmt.Sprintf("attachment; filename=%q", filename)
	signed, err := a.bucket.SignedURL(ctx, object, &blob.SignedURLOptions{Expiry: lifetime, BeforeSign: func(as func(any) bool) error {
		var get *s3.GetObjectInput
		if as(&get) {
			get.ResponseContentDisposition = &disposition
		}
		return nil
	}})
	return signed, explain(ctx, err)
}
