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

// Composed is the file of an export as one object, which a client can get from the store itself.
type Composed struct {
	Object string `json:"object"` // its key
	Size   int64  `json:"size"`   // bytes
	SHA256 []byte `json:"sha256"`
}

// What S3 wants of the pieces of an object.
const (
	minPiece  = 5 << 20 // bytes, but for the last
	maxPieces = 10_000
)

// piece is a stretch of a composed object.
type piece struct {
	segments []segment
	copied   bool // by the store from the one segment, which is an object; else they are uploaded
}

// pieces divides a file such that the store copies what it can: a stretch of an object that is large
// enough and not compressed. What is smaller is gathered with what follows.
func pieces(segments []segment) []piece {
	var all []piece
	var gathered []segment
	var size int64
	for _, s := range segments {
		if size == 0 && s.object != "" && !s.inflate && s.size >= minPiece {
			all = append(all, piece{[]segment{s}, true})
			continue
		}
		gathered, size = append(gathered, s), size+s.size
		if size >= minPiece {
			all = append(all, piece{gathered, false})
			gathered, size = nil, 0
		}
	}
	if size > 0 {
		all = append(all, piece{gathered, false})
	}
	return all
}

// Compose has the store put the parts together as one object beside them, reads that back, and returns
// it with its digest: a zero Composed for a file of more pieces than the store takes. A repeated call
// makes the same object again; one that fails or is cancelled leaves no unfinished upload, unless the
// process dies: then DeleteExport does away with it. Only S3 stores can do that: see CheckCompose.
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

// CheckCompose reports why Compose or SignedURL cannot work, if so. It composes a small object.
func (a *Archive) CheckCompose(ctx context.Context) error {
	client, err := a.s3Client()
	if err != nil {
		return err
	}
	const text = "probe"
	key := probes + uuid.NewString()
	composed := key + "-composed"
	all := []piece{{[]segment{{object: key, size: int64(len(text)), stored: int64(len(text))}}, true}}
	err = a.upload(ctx, key, []byte(text))
	if err == nil {
		err = a.uploadPieces(ctx, client, composed, "text/plain", all)
	}
	if err == nil {
		_, err = a.SignedURL(ctx, composed, time.Minute, "probe")
	}
	if err != nil {
		err = fmt.Errorf("parts cannot be put together as one object: %w", err)
	} else if err = a.abortUploads(ctx, key); err != nil {
		err = fmt.Errorf("unfinished uploads cannot be listed: %w", err)
	}
	for _, object := range []string{key, composed} {
		deleteErr := a.call(ctx, func(call context.Context) error { return a.bucket.Delete(call, object) })
		if deleteErr != nil && !gone(deleteErr) {
			err = errors.Join(err, fmt.Errorf("delete the object %s: %w", object, deleteErr))
		}
	}
	return err
}

// SignedURL is an address of the store at which a composed object can be had without credentials,
// as a file with a name, until lifetime is over.
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
