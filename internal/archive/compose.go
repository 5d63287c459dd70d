package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"memexport/internal/format"
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
	if err := a.multipart(ctx, client, c.Object, f.ContentType, all); err != nil {
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

// s3Client is what this takes beyond the driver.
func (a *Archive) s3Client() (*s3.Client, error) {
	var client *s3.Client
	if !a.bucket.As(&client) {
		return nil, errors.New("only S3 stores (s3://) can put the parts of a file together as one object")
	}
	return client, nil
}

// plainly leaves out checksums of single pieces, which the store would want to see again at the end.
func plainly(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

// multipart makes an object of pieces. A cancel is heeded between its requests and cuts none of them
// off: the store might go on with one after it was told to give up the upload, which then stayed.
func (a *Archive) multipart(ctx context.Context, client *s3.Client, key, contentType string, all []piece) (err error) {
	key = a.folder + key
	create := &s3.CreateMultipartUploadInput{Bucket: &a.name, Key: &key, ContentType: &contentType,
		ServerSideEncryption: types.ServerSideEncryption(a.encryption)}
	if a.kmsKey != "" {
		create.SSEKMSKeyId = &a.kmsKey
	}
	uncut := context.WithoutCancel(ctx)
	var id *string
	err = a.call(uncut, func(call context.Context) error {
		upload, err := client.CreateMultipartUpload(call, create, plainly)
		if err == nil {
			id = upload.UploadId
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what is unfinished stays for ever, unseen and paid for
			err = errors.Join(err, a.abort(uncut, client, key, id))
		}
	}()
	done := make([]types.CompletedPart, len(all))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, p := range all {
		number := int32(i + 1)
		done[i].PartNumber = &number
		if p.copied {
			group.Go(func() (err error) {
				done[i].ETag, err = a.copyPiece(groupCtx, client, key, id, number, p.segments[0])
				return err
			})
			continue
		}
		// Here, so that one of them is in memory at a time.
		if done[i].ETag, err = a.uploadPiece(groupCtx, client, key, id, number, p); err != nil {
			break
		}
	}
	if copyErr := group.Wait(); copyErr != nil {
		err = copyErr // for which an upload may have been given up
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(uncut, 10*a.patience.call) // a store may take minutes
	defer cancel()
	_, err = client.CompleteMultipartUpload(limited, &s3.CompleteMultipartUploadInput{Bucket: &a.name, Key: &key, UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}, plainly)
	return explain(uncut, err)
}

func (a *Archive) copyPiece(ctx context.Context, client *s3.Client, key string, id *string, number int32, s segment) (etag *string, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	source := strings.ReplaceAll((&url.URL{Path: a.name + "/" + a.folder + s.object}).EscapedPath(), "+", "%2B")
	input := &s3.UploadPartCopyInput{Bucket: &a.name, Key: &key, UploadId: id, PartNumber: &number, CopySource: &source}
	if s.size < s.stored {
		input.CopySourceRange = aws.String(fmt.Sprintf("bytes=%d-%d", s.skip, s.skip+s.size-1))
	}
	err = a.call(context.WithoutCancel(ctx), func(call context.Context) error {
		copied, err := client.UploadPartCopy(call, input)
		if err == nil {
			etag = copied.CopyPartResult.ETag
		}
		return err
	})
	return etag, err
}

func (a *Archive) uploadPiece(ctx context.Context, client *s3.Client, key string, id *string, number int32, p piece) (etag *string, err error) {
	file := &File{ctx: ctx, archive: a}
	for _, s := range p.segments {
		file.add(s)
	}
	defer file.Close()
	data := make([]byte, file.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, err
	}
	uncut := context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(uncut, a.patience.upload(len(data)))
	defer cancel()
	uploaded, err := client.UploadPart(limited, &s3.UploadPartInput{Bucket: &a.name, Key: &key, UploadId: id, PartNumber: &number,
		Body: bytes.NewReader(data)}, plainly)
	if err != nil {
		return nil, explain(uncut, err)
	}
	return uploaded.ETag, nil
}

// abort gives up an upload; it may be gone already.
func (a *Archive) abort(ctx context.Context, client *s3.Client, key string, id *string) error {
	err := a.call(ctx, func(call context.Context) error {
		_, err := client.AbortMultipartUpload(call, &s3.AbortMultipartUploadInput{Bucket: &a.name, Key: &key, UploadId: id})
		return err
	})
	if _, code := answer(err); code == "NoSuchUpload" {
		return nil
	}
	return err
}

// abortAll gives up the uploads that are unfinished below a prefix: of processes that died.
func (a *Archive) abortAll(ctx context.Context, prefix string) error {
	client, err := a.s3Client()
	if err != nil {
		return err
	}
	for more, input := true, (&s3.ListMultipartUploadsInput{Bucket: &a.name, Prefix: aws.String(a.folder + prefix)}); more; {
		var page *s3.ListMultipartUploadsOutput
		err := a.call(ctx, func(call context.Context) (err error) {
			page, err = client.ListMultipartUploads(call, input)
			return err
		})
		if err != nil {
			return err
		}
		for _, upload := range page.Uploads {
			if err := a.abort(ctx, client, *upload.Key, upload.UploadId); err != nil {
				return err
			}
		}
		more = aws.ToBool(page.IsTruncated)
		input.KeyMarker, input.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
	return nil
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
		err = a.multipart(ctx, client, composed, "text/plain", all)
	}
	if err == nil {
		_, err = a.SignedURL(ctx, composed, time.Minute, "probe")
	}
	if err != nil {
		err = fmt.Errorf("parts cannot be put together as one object: %w", err)
	} else if err = a.abortAll(ctx, key); err != nil {
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
