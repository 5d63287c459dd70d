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

// s3Client is what multipart uploads take beyond the driver.
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

// multipart is an upload that is under way.
type multipart struct {
	archive *Archive
	client  *s3.Client
	key     string // with the bucket's prefix
	id      *string
}

// uploadPieces makes an object of pieces. A cancel is heeded between its requests and cuts none of them
// off: the store might go on with one after it was told to give up the upload, which then stayed.
func (a *Archive) uploadPieces(ctx context.Context, client *s3.Client, key, contentType string, all []piece) error {
	m := multipart{archive: a, client: client, key: a.folder + key}
	if err := m.create(ctx, contentType); err != nil {
		return err
	}
	parts, err := m.send(ctx, all)
	if err == nil {
		err = m.complete(ctx, parts)
	}
	if err != nil { // what is unfinished stays for ever, unseen and paid for
		return errors.Join(err, m.abort(context.WithoutCancel(ctx)))
	}
	return nil
}

func (m *multipart) create(ctx context.Context, contentType string) error {
	input := &s3.CreateMultipartUploadInput{Bucket: &m.archive.name, Key: &m.key, ContentType: &contentType,
		ServerSideEncryption: types.ServerSideEncryption(m.archive.encryption)}
	if m.archive.kmsKey != "" {
		input.SSEKMSKeyId = &m.archive.kmsKey
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.archive.call(context.WithoutCancel(ctx), func(call context.Context) error {
		upload, err := m.client.CreateMultipartUpload(call, input, plainly)
		if err == nil {
			m.id = upload.UploadId
		}
		return err
	})
}

// send sends all pieces, several copies and one upload at a time.
func (m *multipart) send(ctx context.Context, all []piece) (done []types.CompletedPart, err error) {
	done = make([]types.CompletedPart, len(all))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
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
		// Here, so that one of them is in memory at a time.
		if done[i].ETag, err = m.upload(groupCtx, number, p); err != nil {
			break
		}
	}
	if copyErr := group.Wait(); copyErr != nil {
		return nil, copyErr // for which an upload may have been given up
	}
	return done, errors.Join(err, ctx.Err())
}

func (m *multipart) copy(ctx context.Context, number int32, s segment) (etag *string, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	source := strings.ReplaceAll((&url.URL{Path: m.archive.name + "/" + m.archive.folder + s.object}).EscapedPath(), "+", "%2B")
	input := &s3.UploadPartCopyInput{Bucket: &m.archive.name, Key: &m.key, UploadId: m.id, PartNumber: &number, CopySource: &source}
	if s.size < s.stored {
		input.CopySourceRange = aws.String(fmt.Sprintf("bytes=%d-%d", s.skip, s.skip+s.size-1))
	}
	err = m.archive.call(context.WithoutCancel(ctx), func(call context.Context) error {
		copied, err := m.client.UploadPartCopy(call, input)
		if err == nil {
			etag = copied.CopyPartResult.ETag
		}
		return err
	})
	return etag, err
}

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
	uncut := context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(uncut, m.archive.patience.upload(len(data)))
	defer cancel()
	uploaded, err := m.client.UploadPart(limited, &s3.UploadPartInput{Bucket: &m.archive.name, Key: &m.key, UploadId: m.id,
		PartNumber: &number, Body: bytes.NewReader(data)}, plainly)
	if err != nil {
		return nil, explain(uncut, err)
	}
	return uploaded.ETag, nil
}

func (m *multipart) complete(ctx context.Context, parts []types.CompletedPart) error {
	const factor = 10 // a store may take minutes for many pieces
	uncut := context.WithoutCancel(ctx)
	limited, cancel := context.WithTimeout(uncut, factor*m.archive.patience.call)
	defer cancel()
	_, err := m.client.CompleteMultipartUpload(limited, &s3.CompleteMultipartUploadInput{Bucket: &m.archive.name, Key: &m.key,
		UploadId: m.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}, plainly)
	return explain(uncut, err)
}

// abort gives up the upload; it may be gone already.
func (m *multipart) abort(ctx context.Context) error {
	err := m.archive.call(ctx, func(call context.Context) error {
		_, err := m.client.AbortMultipartUpload(call, &s3.AbortMultipartUploadInput{Bucket: &m.archive.name, Key: &m.key, UploadId: m.id})
		return err
	})
	if _, code := answer(err); code == "NoSuchUpload" {
		return nil
	}
	return err
}

// abortUploads gives up the uploads that are unfinished below a prefix: of processes that died.
func (a *Archive) abortUploads(ctx context.Context, prefix string) error {
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
