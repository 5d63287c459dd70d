package resume

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	backoff "github.com/sethvargo/go-retry"
)

// Retry repeats attempts that fail for reasons that may pass.
type Retry struct {
	// For returns how long consecutive failures are tolerated. It is called after every failure.
	For func() time.Duration
	// Notify is called before every pause with the failure and the length of the pause.
	Notify func(err error, wait time.Duration)
}

// The pauses between attempts double from the first to the longest: a restart takes a second, an
// outage must not be flooded.
const firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second

// Do calls attempt until it succeeds, returns an error that is not marked Transient, or has failed for
// longer than r.For. In the last case the error is a *GaveUp. If ctx ends, the error is its cause.
func (r Retry) Do(ctx context.Context, attempt func(context.Context) error) error {
	return r.DoWithProgress(ctx, func(ctx context.Context) (progressed bool, err error) {
		return false, attempt(ctx)
	})
}

// DoWithProgress is Do for attempts that can get further before they fail: the time for r.For and the
// pauses start anew when an attempt has progressed.
func (r Retry) DoWithProgress(ctx context.Context, attempt func(context.Context) (progressed bool, err error)) error {
	var pauses backoff.Backoff
	var began time.Time
	for {
		progressed, err := attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var passing *transient
		if !errors.As(err, &passing) {
			return err
		}
		if progressed || pauses == nil {
			began = time.Now()
			pauses = backoff.WithJitterPercent(20, backoff.WithCappedDuration(longestPause, backoff.NewExponential(firstPause)))
		}
		left := r.For() - time.Since(began)
		if left <= 0 {
			return &GaveUp{Err: err, After: time.Since(began)}
		}
		wait, _ := pauses.Next()
		wait = min(max(wait, passing.after), left)
		r.Notify(err, wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// GaveUp is the error after the last attempt.
type GaveUp struct {
	Err   error         // of the last attempt
	After time.Duration // how long attempts had failed; zero if no second attempt was useful
}

func (g *GaveUp) Error() string {
	if g.After < time.Second {
		return g.Err.Error()
	}
	return fmt.Sprintf("%v; given up after %s", g.Err, g.After.Round(time.Second))
}

func (g *GaveUp) Unwrap() error { return g.Err }

// transient is an error that may pass.
type transient struct {
	err   error
	after time.Duration // the shortest pause before the next attempt
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// Transient marks an error as one that may pass. The response, which may be nil, can ask for a longer
// pause by Retry-After.
func Transient(err error, response *http.Response) error {
	t := &transient{err: err}
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			t.after = time.Duration(seconds) * time.Second
		}
	}
	return t
}

// TransientStatus reports whether the same request may succeed later, given the status of its response.
func TransientStatus(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// NoResponse turns an error of http.Client.Do into one that names the host. The error is Transient,
// unless the address or the certificate is wrong: then it is a *GaveUp.
func NoResponse(err error) error {
	var dns *net.DNSError
	var address *net.AddrError
	var certificate *tls.CertificateVerificationError
	var hostname x509.HostnameError
	var record tls.RecordHeaderError
	var outer *url.Error
	if errors.As(err, &outer) {
		host := outer.URL
		if u, err := url.Parse(outer.URL); err == nil {
			host = u.Host
		}
		err = fmt.Errorf("no answer from %s: %w", host, outer.Err)
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &address), errors.As(err, &certificate),
		errors.As(err, &hostname), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &GaveUp{Err: err}
	}
	return Transient(err, nil)
}
