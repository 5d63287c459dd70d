package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// Denied reports whether err is a refusal that a retry cannot change, such as a missing permission, a
// missing bucket or a read-only file system.
func Denied(err error) bool {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, errNoBucket) {
		return true
	}
	switch status, code := statusAndCode(err); code {
	case "NoSuchBucket", "ContainerNotFound": // S3, Azure
		return true
	case "QuotaExceeded": // Ceph and others send it with status 403; see Full
		return false
	case "rateLimitExceeded", "userRateLimitExceeded": // GCS sends them with status 403
		return false
	case "RequestTimeTooSkewed": // S3: this machine's clock is wrong and may be corrected
		return false
	default:
		return status == http.StatusForbidden || status == http.StatusUnauthorized
	}
}

// Full reports whether err means that the store has no room. A retry may succeed later.
func Full(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	status, code := statusAndCode(err)
	return status == http.StatusInsufficientStorage || code == "QuotaExceeded" // MinIO, Ceph
}

// Unavailable reports whether err means that the store does not work at the moment: a server answers with 5xx
// or asks for fewer requests, or the disk that holds a directory fails or is missing. A retry may succeed.
func Unavailable(err error) bool {
	var disk syscall.Errno
	if errors.As(err, &disk) {
		return slices.Contains([]syscall.Errno{syscall.EIO, syscall.ENOTDIR, syscall.ENXIO, syscall.ENODEV, syscall.ENOTCONN, syscall.ESTALE}, disk)
	}
	status, code := statusAndCode(err)
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || slices.Contains([]string{"rateLimitExceeded", "userRateLimitExceeded"}, code)
}

// Away reports whether err concerns the whole store and not only one object: the store does not answer, or does not work
// at the moment.
func Away(err error) bool {
	var network *net.OpError
	var timeout interface{ Timeout() bool } // do not check for net.Error, because even the error "no such file" implements that interface
	return Unavailable(err) || errors.As(err, &network) || errors.As(err, &timeout) && timeout.Timeout()
}

// maxAway is how many exports in a row may fail because the store is away. Each of them can take RequestTimeout.
const maxAway = 3

// Failures collects the errors of operations on many exports, so that an export which cannot be deleted does not hold up
// the others. An object under a legal hold is an example. The zero value is ready to use.
type Failures struct {
	n, away int
	first   error
}

// Add records the outcome of the operation on one export. It reports whether to stop, because the store was away for
// several exports in a row.
func (f *Failures) Add(exportID string, err error) (stop bool) {
	if err == nil || !Away(err) {
		f.away = 0 // the store has answered
	} else {
		f.away++
	}
	if err != nil {
		f.n++
	}
	if err != nil && f.first == nil {
		f.first = fmt.Errorf("the export %s: %w", exportID, err)
	}
	return f.away >= maxAway
}

// Count returns how many operations have failed.
func (f *Failures) Count() int { return f.n }

// Err returns an error that contains the first failure and the number of the others, or nil if no operation has failed.
func (f *Failures) Err() error {
	if f.n > 1 {
		return fmt.Errorf("%w (and %d other exports failed too)", f.first, f.n-1)
	}
	return f.first
}

// Lost reports whether err means that the store lacks an object, or has other bytes than were recorded. The cause
// can also be that the bucket itself is missing: call Check to find out.
func Lost(err error) bool { return isNotFound(err) || errors.Is(err, ErrCorrupt) }

// errNoBucket replaces a store's plain 404 if the bucket itself is missing.
var errNoBucket = errors.New("the bucket does not exist")

// statusAndCode returns the HTTP status and the error code of a store's response, or zero values if
// err contains none.
func statusAndCode(err error) (status int, code string) {
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

// isNotFound reports whether err says that an object does not exist. It excludes two errors for which
// the drivers also return NotFound: a denial by GCS, and an Azure account name that DNS cannot resolve.
func isNotFound(err error) bool {
	var lookup *net.DNSError
	return err != nil && gcerrors.Code(err) == gcerrors.NotFound && !Denied(err) && !errors.As(err, &lookup)
}

// explain adds a remedy to an error from the bucket. ctx is the caller's context. If ctx has not
// ended and err is DeadlineExceeded, the request timed out because the store did not answer.
func explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	hideQuery(err)
	switch {
	case Full(err), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: free space on the disk of BUCKET_URL, or raise its quota", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount the disk of BUCKET_URL writable", err)
	case Denied(err):
		return fmt.Errorf("%w: check the bucket in BUCKET_URL and the permissions of its credentials (docs/stores.md lists them)", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the store does not answer in time: %w", err)
	}
	return err
}

// hideQuery removes the query from a URL inside err, because it may contain an Azure SAS token.
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
