//go:build poolers

package api_test

import (
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

// A standby answers after a fail-over if the name of the old primary still leads to it.
func TestOnAStandbyRequestsThatWriteAreAnsweredWith503(t *testing.T) {
	through := pgtest.Standby(t)
	url := pgtest.New(t)
	s := newServiceOn(t, pgtest.OpenURL(t, url, 8), use(t, through(url)))
	e, _ := s.publish(t, "csv", time.Hour, "a\r\n")
	await.True(t, time.Minute, "the standby has the export", func() bool {
		return s.do(t, "GET", "/v1/exports/"+e.ID).StatusCode == 200
	})
	s.do(t, "GET", "/v1/exports").status(t, 200)
	s.do(t, "POST", "/v1/exports").header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
	s.do(t, "DELETE", "/v1/exports/"+e.ID).header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
}
