package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// s3Client returns the S3 client, because multipart uploads with server-side copies are not part of
// gocloud.dev/blob.
func (a *Archive) s3Client() (*s3.Client, error) {
	var client *s3.Client
	if !a.bucket.As(&client) {
		return nil, errors.New("only S3 stores (s3://) can join the parts of a file into one object")
	}
	return client, nil
}

// withoutChecksums omits the checksums of single pieces. If a piece were uploaded with a checksum,
// completing the upload would require the same checksum again.
func withoutChecksums(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

// multipart is a multipart upload in progress.
type multipart struct {
	archive *Archive
	client  *s3.Client
	key     string // including Archive.folder
	id      *string
}

// uploadPieces writes an object that consists of pieces. It checks for cancellation between requests
// and never interrupts a request. The store could finish an interrupted request after the upload was
// aborted, and the piece would then stay in the bucket.
func (a *Archive) uploadPieces(ctx context.Context, client *s3.Client, key, contentType string, all []piece) error {
	m := multipart{archive: a, client: client, key: a.folder + key}
	if err := m.create(ctx, contentType); err != nil {
		return err
	}
	parts, err := m.send(ctx, all)
	if err == nil {
		err = m.complete(ctx, parts)
	}
	if err != nil { // an upload that is not aborted would stay in the bucket, invisible and billed
		return errors.Join(err, m.abort(context.WithoutCancel(ctx)))
	}
	return nil
}

func (m *multipart) create(ctx context.Context, contentType string) error {
	input := &s3.CreateMultipartUploadInput{Bucket: &m.archive.bucketName, Key: &m.key, ContentType: &contentType,
		ServerSideEncryption: types.ServerSideEncryption(m.archive.encryption)}
	if m.archive.kmsKey != "" {
		input.SSEKMSKeyId = &m.archive.kmsKey
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.archive.request(context.WithoutCancel(ctx), func(limited context.Context) error {
		upload, err := m.client.CreateMultipartUpload(limited, input, withoutChecksums)
		if err == nil {
			m.id = upload.UploadId
		}
		return err
	})
}

// send writes all pieces: up to parallelRequests copies and one upload at a time.
func (m *multipart) send(ctx context.Context, all []piece) (done []types.CompletedPart, err error) {
	done = make([]types.CompletedPart, len(all))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRequests)
	for i, p := range all {
		number := int32(i + 1)
		done[i].PartNumber = &number
		if p.copied {
			group.Go(func() (err error) {
				done[i].ETag, err = m.copy(groupCtx, number, p.segments[0])
				return err
			})
			continue
		}
		// Uploads run here rather than in the group, so that only one piece is in RAM at a time.
		if done[i].ETag, err = m.upload(groupCtx, number, p); err != nil {
			break
		}
	}
	if copyErr := group.Wait(); copyErr != nil {
		return nil, copyErr // this error cancelled groupCtx, which made the upload fail too
	}
	return done, errors.Join(err, ctx.Err())
}

func (m *multipart) copy(ctx context.Context, number int32, s segment) (etag *string, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	source := strings.ReplaceAll((&url.URL{Path: m.archive.bucketName + "/" + m.archive.folder + s.object}).EscapedPath(), "+", "%2B")
	input := &s3.UploadPartCopyInput{Bucket: &m.archive.bucketName, Key: &m.key, UploadId: m.id, PartNumber: &number, CopySource: &source}
	if s.size < s.objectSize {
		input.CopySourceRange = aws.String(fmt.Sprintf("bytes=%d-%d", s.skip, s.skip+s.size-1))
	}
	err = m.archive.request(context.WithoutCancel(ctx), func(limited context.Context) error {
		copied, err := m.client.UploadPartCopy(limited, input)
		if err != nil {
			return err
		}
		if copied.CopyPartResult == nil || copied.CopyPartResult.ETag == nil {
			return errNoETag // S3 sends the status before it copies, and a proxy may lose what follows
		}
		etag = copied.CopyPartResult.ETag
		return nil
	})
	return etag, err
}

var errNoETag = errors.New("the store's answer has no ETag")

func (m *multipart) upload(ctx context.Context, number int32, p piece) (etag *string, err error) {
	file := &File{ctx: ctx, archive: m.archive}
	for _, s := range p.segments {
		file.add(s)
	}
	defer file.Close()
	data := make([]byte, file.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, err
	}
	uncancelled := context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(uncancelled, m.archive.uploadTimeout(len(data)))
	defer cancel()
	uploaded, err := m.client.UploadPart(limited, &s3.UploadPartInput{Bucket: &m.archive.bucketName, Key: &m.key, UploadId: m.id,
		PartNumber: &number, Body: bytes.NewReader(data)}, withoutChecksums)
	if err != nil {
		return nil, explain(uncancelled, err)
	}
	if uploaded.ETag == nil {
		return nil, errNoETag
	}
	return uploaded.ETag, nil
}

func (m *multipart) complete(ctx context.Context, parts []types.CompletedPart) error {
	const factor = 10 // a store may need minutes to complete an upload of many pieces
	uncancelled := context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(uncancelled, factor*m.archive.options.RequestTimeout)
	defer cancel()
	_, err := m.client.CompleteMultipartUpload(limited, &s3.CompleteMultipartUploadInput{Bucket: &m.archive.bucketName, Key: &m.key,
		UploadId: m.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}, withoutChecksums)
	if _, code := statusAndCode(err); code == "InvalidPart" || code == "EntityTooSmall" {
		err = fmt.Errorf("%w: %w", ErrNotJoined, err)
	}
	return explain(uncancelled, err)
}

// ErrNotJoined means that the store refuses to join parts into one object because of their lengths. Some
// stores, such as Cloudflare R2, want all parts but the last to have the same length.
var ErrNotJoined = errors.New("the store does not join parts of different lengths: set DOWNLOAD_MODE=proxy")

// abort aborts the upload. If the upload does not exist, abort returns no error.
func (m *multipart) abort(ctx context.Context) error {
	err := m.archive.request(ctx, func(limited context.Context) error {
		_, err := m.client.AbortMultipartUpload(limited, &s3.AbortMultipartUploadInput{Bucket: &m.archive.bucketName, Key: &m.key, UploadId: m.id})
		return err
	})
	if _, code := statusAndCode(err); code == "NoSuchUpload" {
		return nil
	}
	return err
}

// abortUploads aborts every unfinished multipart upload under a prefix. Such uploads remain when a
// process dies during Compose.
func (a *Archive) abortUploads(ctx context.Context, prefix string) error {
	client, err := a.s3Client()
	if err != nil {
		return err
	}
	for more, input := true, (&s3.ListMultipartUploadsInput{Bucket: &a.bucketName, Prefix: aws.String(a.folder + prefix)}); more; {
		var page *s3.ListMultipartUploadsOutput
		err := a.request(ctx, func(limited context.Context) (err error) {
			page, err = client.ListMultipartUploads(limited, input)
			return err
		})
		if err != nil {
			return err
		}
		for _, upload := range page.Uploads {
			m := multipart{archive: a, client: client, key: *upload.Key, id: upload.UploadId}
			if err := m.abort(ctx); err != nil {
				return err
			}
		}
		more = aws.ToBool(page.IsTruncated)
		input.KeyMarker, input.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
	return nil
}
