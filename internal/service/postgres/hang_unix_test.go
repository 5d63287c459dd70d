//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// patience is how long a call may take to notice that its context has ended. It is long, because the machine
// may be busy; a call that hangs would take forever.
const patience = 10 * time.Second

func TestACallEndsWithItsContextWhilePostgresHangs(t *testing.T) {
	url := pgtest.New(t)
	for name, call := range map[string]func(context.Context, *sqlx.DB) error{
		"ping": func(ctx context.Context, db *sqlx.DB) error { return db.PingContext(ctx) },
		"exec": func(ctx context.Context, db *sqlx.DB) error { _, err := db.ExecContext(ctx, `SELECT 1`); return err },
		"query": func(ctx context.Context, db *sqlx.DB) error {
			var n int
			return db.GetContext(ctx, &n, `SELECT $1::int`, 1)
		},
		"begin": func(ctx context.Context, db *sqlx.DB) error { _, err := db.BeginTxx(ctx, nil); return err },
		"a new connection": func(ctx context.Context, db *sqlx.DB) error {
			db.SetMaxIdleConns(0)
			return db.PingContext(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := pgtest.OpenURL(t, url, 2)
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			thaw := pgtest.Freeze(t)
			wantEnd(t, func(ctx context.Context) error { return call(ctx, db) })
			thaw()
			db.SetMaxIdleConns(2)
			if err := db.Ping(); err != nil {
				t.Errorf("after the server has gone on: %v", err)
			}
		})
	}
}

func TestRowsAndTransactionsEndWithTheirContextWhilePostgresHangs(t *testing.T) {
	db := pgtest.Open(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	rows, err := tx.QueryContext(ctx, `SELECT repeat('x', 1000) FROM generate_series(1, 1000000)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	pgtest.Freeze(t)
	wantEnd(t, func(short context.Context) error {
		context.AfterFunc(short, cancel)
		for rows.Next() {
		}
		return errors.Join(rows.Err(), tx.Rollback())
	})
}

// wantEnd calls do with a context that soon ends, and checks that do then returns an error.
func wantEnd(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- do(ctx) }()
	select {
	case err := <-result:
		if err == nil {
			t.Error("no error, although Postgres hangs")
		}
	case <-time.After(patience):
		t.Error("the call has not ended with its context")
	}
}

func TestASilentPostgresFailsTheCall(t *testing.T) {
	db, err := postgres.OpenWith(pgtest.New(t), postgres.Options{MaxConns: 2, Silence: 2 * time.Second, SilenceHint: "raise SETTING"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	pgtest.Freeze(t)
	result := make(chan error, 1)
	go func() { result <- db.Get(new(int), `SELECT $1::int`, 1) }()
	select {
	case err := <-result:
		var timeout interface{ Timeout() bool }
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the error is %v", err)
		}
		wantError(t, err, "has sent nothing for 2s", "raise SETTING")
	case <-time.After(patience):
		t.Error("the call has not ended")
	}
}
