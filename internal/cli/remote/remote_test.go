package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/cli/progress"
	"memexport/internal/cli/resume"
)

// roundTripper is a function that implements http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAWrongHostOrCertificateIsTriedAgainOnceTheServiceHasAnswered(t *testing.T) {
	for name, wrong := range map[string]error{
		"a name that is not found": &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}},
		"an unknown certificate":   &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"an answer without TLS":    tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
	} {
		for _, reached := range []bool{false, true} {
			svc, err := New(Options{URL: "http://api", RetryFor: time.Minute, FirstFor: time.Minute, Report: progress.Silent()})
			if err != nil {
				t.Fatal(err)
			}
			// The service answers all requests except the first or, if it is reached before, the second.
			requests, failing := 0, 1
			if reached {
				failing = 2
			}
			svc.http.Transport.(*noting).next = roundTripper(func(*http.Request) (*http.Response, error) {
				if requests++; requests == failing {
					return nil, wrong
				}
				recorder := httptest.NewRecorder()
				_, _ = recorder.WriteString("{}")
				return recorder.Result(), nil
			})
			if reached {
				if _, err := svc.Get(t.Context(), uuid.New()); err != nil {
					t.Fatal(err)
				}
			}
			_, err = svc.Get(t.Context(), uuid.New())
			var gaveUp *resume.GaveUp
			switch {
			case reached && (err != nil || requests != 3):
				t.Errorf("%s after an answer: %v after %d requests", name, err, requests)
			case !reached && (!errors.As(err, &gaveUp) || requests != 1):
				t.Errorf("%s at first: %v after %d requests", name, err, requests)
			}
		}
	}
}
