package transfer

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

// Retry tries again what fails for reasons that may pass.
type Retry struct {
	// For is how long failures in a row are put up with; it is asked after every failure.
	For func() time.Duration
	// Notify is told of every failure that is followed by another attempt, and when that is.
	Notify func(err error, wait time.Duration)
}

// The pauses between attempts double from the first to the longest.
const firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second

// Do calls attempt until it succeeds, fails for good, or has failed for too long since it last
// reported progress: then the error is a *GaveUp. If ctx ends, the error is its cause.
func (r Retry) Do(ctx context.Context, attempt func(context.Context) (progress bool, err error)) error {
	var pauses backoff.Backoff
	var began time.Time
	for {
		progress, err := attempt(ctx)
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
		if progress || pauses == nil {
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

// GaveUp is the end of all attempts.
type GaveUp struct {
	Err   error         // of the last attempt
	After time.Duration // how long there were only failures; 0 if another attempt makes no sense
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
	after time.Duration // the least time before the next attempt
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// Transient marks an error as one that may pass. A response may say when to try again.
func Transient(err error, response *http.Response) error {
	t := &transient{err: err}
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			t.after = time.Duration(seconds) * time.Second
		}
	}
	return t
}

// TransientStatus reports whether an HTTP status says that the same request may succeed later.
func TransientStatus(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// NoResponse is the error for a request that http.Client could not get an answer to: one that may
// pass, unless the address or the certificate is wrong.
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
