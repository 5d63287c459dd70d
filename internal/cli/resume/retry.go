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

// Retry retries attempts that fail because of a temporary error.
type Retry struct {
	// For returns how long failures in a row are retried. It is called after every failure.
	For func() time.Duration
	// Notify is called before every pause with the error and the length of the pause.
	Notify func(err error, wait time.Duration)
}

// The pauses between attempts double from firstPause to longestPause. The first is short, because a
// restart of the service takes about a second. Later ones are long, so that a service in trouble is
// not flooded.
const firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second

// Do calls attempt until attempt succeeds or returns an error that is not Transient. If attempts have
// failed for longer than r.For, Do returns a *GaveUp. If ctx ends, Do returns the cause of ctx.
func (r Retry) Do(ctx context.Context, attempt func(context.Context) error) error {
	return r.DoWithProgress(ctx, func(ctx context.Context) (progressed bool, err error) {
		return false, attempt(ctx)
	})
}

// DoWithProgress is like Do for attempts that can make progress before they fail. After an attempt
// that made progress, the time limit of r.For starts again and the pauses are short again.
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

// GaveUp is the error when Do stops retrying.
type GaveUp struct {
	Err   error         // the error of the last attempt
	After time.Duration // how long attempts had failed; zero if a second attempt would have been useless
}

func (g *GaveUp) Error() string {
	if g.After < time.Second {
		return g.Err.Error()
	}
	return fmt.Sprintf("%v; given up after %s", g.Err, g.After.Round(time.Second))
}

func (g *GaveUp) Unwrap() error { return g.Err }

// transient is a temporary error.
type transient struct {
	err   error
	after time.Duration // the minimum length of the pause before the next attempt
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// Transient returns an error that wraps err and means that the failure is temporary. If response is
// not nil, its Retry-After header can make the next pause longer.
func Transient(err error, response *http.Response) error {
	t := &transient{err: err}
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			t.after = time.Duration(seconds) * time.Second
		}
	}
	return t
}

// TransientStatus reports whether a request that got this status may succeed later.
func TransientStatus(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// NoResponse returns an error that adds the host to an error of http.Client.Do. If the service was
// reached before, the error is Transient. Otherwise the URL may be wrong, so the error is a *GaveUp if
// the host or the certificate is wrong.
//
// After the service was reached, the same errors are temporary: a resolver may not find the name while
// this machine is offline or the service restarts, and a proxy that restarts may present its default
// certificate.
func NoResponse(err error, reached bool) error {
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
	case reached:
		return Transient(err, nil)
	case errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &address), errors.As(err, &certificate),
		errors.As(err, &hostname), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &GaveUp{Err: err}
	}
	return Transient(err, nil)
}
