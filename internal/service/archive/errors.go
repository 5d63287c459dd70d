package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// Denied reports whether err is a refusal that trying again will not change: no permission, a bucket
// that does not exist, a file system that is mounted read-only.
func Denied(err error) bool {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, errNoBucket) {
		return true
	}
	switch status, code := answer(err); code {
	case "NoSuchBucket", "ContainerNotFound": // S3, Azure
		return true
	case "rateLimitExceeded", "userRateLimitExceeded": // of GCS, with status 403
		return false
	case "RequestTimeTooSkewed": // of S3: the clock of this machine
		return false
	default:
		return status == http.StatusForbidden || status == http.StatusUnauthorized
	}
}

// errNoBucket is what a bucket that does not exist is called where the store only says 404.
var errNoBucket = errors.New("the bucket does not exist")

// answer is the HTTP status and the code with which a store refused; zero if err has neither.
func answer(err error) (status int, code string) {
	var google *googleapi.Error
	var azure *azcore.ResponseError
	var aws interface{ ErrorCode() string }
	var response interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &google):
		if len(google.Errors) > 0 {
			code = google.Errors[0].Reason
		}
		return google.Code, code
	case errors.As(err, &azure):
		return azure.StatusCode, azure.ErrorCode
	}
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	if errors.As(err, &aws) {
		code = aws.ErrorCode()
	}
	return status, code
}

// gone reports whether err says that an object does not exist. The drivers also call it NotFound
// when GCS refuses and when the name of an Azure account cannot be looked up.
func gone(err error) bool {
	var lookup *net.DNSError
	return err != nil && gcerrors.Code(err) == gcerrors.NotFound && !Denied(err) && !errors.As(err, &lookup)
}

// explain adds to an error of the bucket what to do about it. ctx is the caller's: if an operation
// ended at a time limit of its own, the store was silent.
func explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	hideQuery(err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: make room on the disk of BUCKET_URL", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount the disk of BUCKET_URL for writing", err)
	case Denied(err):
		return fmt.Errorf("%w: check the bucket of BUCKET_URL and what its credentials may do there (docs/stores.md lists it)", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the store does not answer in time: %w", err)
	}
	return err
}

// hideQuery takes the query off a URL in the error: the token of an Azure SAS is there.
func hideQuery(err error) {
	var request *url.Error
	if !errors.As(err, &request) {
		return
	}
	if u, parseErr := url.Parse(request.URL); parseErr == nil && u.RawQuery != "" {
		u.RawQuery = ""
		request.URL = u.String()
	}
}
