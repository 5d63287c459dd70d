package archive

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"google.golang.org/api/googleapi"
)

func TestDeniedReadsTheStoresResponse(t *testing.T) {
	google := func(status int, reason string) error {
		return &googleapi.Error{Code: status, Errors: []googleapi.ErrorItem{{Reason: reason}}}
	}
	azure := func(status int, code string) error { return &azcore.ResponseError{StatusCode: status, ErrorCode: code} }
	for _, c := range []struct {
		err    error
		denied bool
	}{
		{google(http.StatusForbidden, "forbidden"), true},
		{google(http.StatusUnauthorized, "authError"), true},
		{google(http.StatusForbidden, "rateLimitExceeded"), false}, // GCS also sends 403 for "try later"
		{google(http.StatusForbidden, "userRateLimitExceeded"), false},
		{google(http.StatusTooManyRequests, "rateLimitExceeded"), false},
		{google(http.StatusNotFound, "notFound"), false},
		{azure(http.StatusForbidden, "AuthenticationFailed"), true},
		{azure(http.StatusForbidden, "AuthorizationPermissionMismatch"), true},
		{azure(http.StatusNotFound, "ContainerNotFound"), true},
		{azure(http.StatusNotFound, "BlobNotFound"), false},
		{azure(http.StatusServiceUnavailable, "ServerBusy"), false},
		{syscall.EROFS, true},
		{syscall.EACCES, true},
		{syscall.ENOSPC, false},
	} {
		if err := fmt.Errorf("wrapped: %w", c.err); Denied(err) != c.denied {
			t.Errorf("%v: denied is %v", err, !c.denied)
		}
	}
}

// amazon is an error as the SDK of AWS returns it.
type amazon struct {
	status int
	code   string
}

func (a amazon) Error() string       { return a.code }
func (a amazon) ErrorCode() string   { return a.code }
func (a amazon) HTTPStatusCode() int { return a.status }

func TestAFullStoreIsNotADenial(t *testing.T) {
	for _, c := range []struct {
		err  error
		full bool
	}{
		{syscall.ENOSPC, true},
		{syscall.EDQUOT, true},
		{syscall.EROFS, false},
		{syscall.EACCES, false},
		{amazon{http.StatusInsufficientStorage, "XMinioStorageFull"}, true},
		{amazon{http.StatusForbidden, "QuotaExceeded"}, true}, // Ceph
		{amazon{http.StatusForbidden, "AccessDenied"}, false},
		{amazon{http.StatusServiceUnavailable, "SlowDown"}, false},
	} {
		err := fmt.Errorf("wrapped: %w", c.err)
		if Full(err) != c.full || c.full && Denied(err) {
			t.Errorf("%v: full is %v, denied is %v", err, Full(err), Denied(err))
		}
		if hint := strings.Contains(explain(t.Context(), err).Error(), "free space"); hint != c.full {
			t.Errorf("the hint is missing or wrong: %v", explain(t.Context(), err))
		}
	}
}

func TestAStoreThatDoesNotWorkIsUnavailable(t *testing.T) {
	for _, c := range []struct {
		err         error
		unavailable bool
	}{
		{amazon{http.StatusServiceUnavailable, "SlowDown"}, true},
		{amazon{http.StatusInternalServerError, "InternalError"}, true},
		{amazon{http.StatusForbidden, "AccessDenied"}, false},
		{amazon{http.StatusNotFound, "NoSuchKey"}, false},
		{&googleapi.Error{Code: http.StatusForbidden, Errors: []googleapi.ErrorItem{{Reason: "rateLimitExceeded"}}}, true},
		{&azcore.ResponseError{StatusCode: http.StatusServiceUnavailable, ErrorCode: "ServerBusy"}, true},
		{&azcore.ResponseError{StatusCode: http.StatusNotFound, ErrorCode: "BlobNotFound"}, false},
		{syscall.EIO, true},
		{syscall.ESTALE, true},
		{syscall.ENOENT, false}, // the object is lost
		{syscall.EACCES, false},
		{ErrCorrupt, false},
	} {
		if err := fmt.Errorf("wrapped: %w", c.err); Unavailable(err) != c.unavailable {
			t.Errorf("%v: unavailable is %v", err, !c.unavailable)
		}
	}
}

func TestErrorsContainNoToken(t *testing.T) {
	request := &url.Error{Op: "Get", URL: "https://account.example/container/key?sv=1&sig=secret", Err: syscall.ECONNREFUSED}
	err := explain(t.Context(), request)
	if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, "account.example/container/key") {
		t.Error(text)
	}
}

func TestFailuresStopOnlyWhileTheStoreIsAway(t *testing.T) {
	refused, away := error(fs.ErrPermission), error(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	hangs := fmt.Errorf("wait: %w", context.DeadlineExceeded)
	for _, c := range []struct {
		outcomes []error
		stop     bool
	}{
		{[]error{refused, refused, refused, refused, refused}, false},
		{[]error{away, hangs, nil, away, hangs}, false},
		{[]error{away, hangs, refused, away, hangs}, false},
		{[]error{nil, refused, away, hangs, syscall.EIO}, true},
	} {
		var f Failures
		stop, failed := false, 0
		for _, err := range c.outcomes {
			stop = f.Add("id", err)
			if err != nil {
				failed++
			}
		}
		if stop != c.stop || f.Count() != failed || f.Err() == nil {
			t.Errorf("after %v: stop %v, %d failures, %v", c.outcomes, stop, f.Count(), f.Err())
		}
	}
	if err := new(Failures).Err(); err != nil {
		t.Error("no failure:", err)
	}
}
