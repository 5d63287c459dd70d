package api_test

import (
	"testing"
	"time"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/workshop/pgtest"
)

// use makes the API use the database at this URL.
func use(t *testing.T, url string) func(*api.Options) {
	t.Helper()
	db := pgtest.OpenURL(t, url, 8)
	return func(o *api.Options) {
		o.Exports, o.Keys, o.Audit = export.NewStore(db), apikey.NewStore(db), audit.NewStore(db)
	}
}

func TestWhileTheDatabaseIsReadOnlyRequestsThatWriteAreAnsweredWith503(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := newServiceOn(t, pgtest.OpenURL(t, url, 8), use(t, url+"&default_transaction_read_only=on"))
	e, _ := s.publish(t, "csv", time.Hour, "a\r\n")
	s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
	s.do(t, "GET", "/v1/exports").status(t, 200)
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
	s.do(t, "DELETE", "/v1/exports/"+e.ID).header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
}
