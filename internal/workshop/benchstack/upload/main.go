// Command upload stores its standard input as an object in a bucket of S3, with the SDK's transfer manager.
// The benchmark pipes the output of psql into it, because that is how people export to S3 without this
// service.
//
//	psql -c "\copy (...) to stdout csv" | upload 's3://bucket?region=...' key
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3://
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: upload BUCKET_URL KEY")
		os.Exit(2)
	}
	if err := upload(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "upload:", err)
		os.Exit(1)
	}
}

// upload uploads with the defaults of the transfer manager: parts of 8 MiB, five at a time. Only its
// checksums are off, as they are in the service for S3-compatible stores other than AWS.
func upload(ctx context.Context, bucketURL, key string) error {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return err
	}
	bucket, err := blob.OpenBucket(ctx, bucketURL)
	if err != nil {
		return err
	}
	defer bucket.Close()
	var client *s3.Client
	if !bucket.As(&client) {
		return errors.New("the bucket is not in S3")
	}
	manager := transfermanager.New(client, func(o *transfermanager.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	body := struct{ io.Reader }{os.Stdin} // hides Seek, which fails for a pipe
	_, err = manager.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &u.Host, Key: &key, Body: body})
	return err
}
