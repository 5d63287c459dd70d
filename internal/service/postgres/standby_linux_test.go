//go:build poolers

package postgres_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

// openStandby returns the URL of a database with the table things on a primary, and the URL of its copy on a
// standby.
func openStandby(t *testing.T) (primary, standby string) {
	t.Helper()
	through := pgtest.Standby(t)
	primary = pgtest.New(t)
	pgtest.OpenURL(t, primary, 1).MustExec(`CREATE TABLE things (id int)`)
	standby = through(primary)
	await.True(t, time.Minute, "the standby has the table", func() bool {
		db, err := sqlx.Open("postgres", standby)
		if err != nil {
			return false
		}
		defer db.Close()
		return db.GetContext(t.Context(), new(int), `SELECT count(*) FROM things`) == nil
	})
	return primary, standby
}

func TestAStandbyIsReadOnly(t *testing.T) {
	_, standby := openStandby(t)
	for _, o := range []postgres.Options{{MaxConns: 2}, {MaxConns: 2, Prepare: true, Observed: true}, {MaxConns: 2, Pooled: true}} {
		db, err := postgres.OpenWith(standby, o)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, statement := range []string{`INSERT INTO things VALUES ($1)`, `UPDATE things SET id = $1`, `SELECT id FROM things WHERE id = $1 FOR UPDATE`} {
			if _, err := db.ExecContext(t.Context(), statement, 1); !postgres.ReadOnly(err) {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if _, err := db.BeginTxx(t.Context(), nil); !postgres.ReadOnly(err) {
			t.Errorf("BEGIN: %v", err)
		}
		if err := postgres.CheckWritable(t.Context(), db); !postgres.ReadOnly(err) {
			t.Errorf("CheckWritable: %v", err)
		}
		if err := db.GetContext(t.Context(), new(int), `SELECT count(*) FROM things WHERE id = $1`, 1); err != nil {
			t.Errorf("a read: %v", err)
		}
	}
}

func TestTheURLMayNameAStandbyBeforeThePrimary(t *testing.T) {
	primary, standby := openStandby(t)
	from, err := url.Parse(standby)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(primary)
	if err != nil {
		t.Fatal(err)
	}
	both := *to
	both.Host = from.Hostname() + "," + to.Hostname()
	db := pgtest.OpenURL(t, both.String()+"&port="+from.Port()+","+to.Port()+"&target_session_attrs=read-write", 1)
	if err := postgres.CheckWritable(t.Context(), db); err != nil {
		t.Error(err)
	}
	if err := postgres.CheckWritable(t.Context(), pgtest.OpenURL(t, standby+"&target_session_attrs=read-write", 1)); !postgres.ReadOnly(err) {
		t.Errorf("with a standby alone: %v", err)
	}
}
