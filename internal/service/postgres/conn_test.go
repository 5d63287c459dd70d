package postgres_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

// The context of a statement must not affect later statements of the same transaction.
func TestAStatementsContextEndsWithTheStatement(t *testing.T) {
	db := pgtest.Open(t, 1)
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := tx.ExecContext(ctx, `SELECT $1::int`, 1); err != nil {
			t.Error(err)
		}
		if err := tx.GetContext(ctx, new(int), `SELECT $1::int`, 1); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
}

// The parameter binary_parameters is in URLs that were written for a pooler.
func TestBinaryParametersDoNotSpoilJSON(t *testing.T) {
	db := pgtest.OpenURL(t, pgtest.New(t)+"&binary_parameters=yes", 1)
	var n int
	if err := db.Get(&n, `SELECT ($1::jsonb->>'n')::int`, []byte(`{"n": 7}`)); err != nil || n != 7 {
		t.Errorf("read %d: %v", n, err)
	}
}

// Postgres does not notice by itself that a connection is closed while it computes or waits for a lock.
func TestPostgresSoonEndsTheStatementOfACallThatHasEnded(t *testing.T) {
	t.Parallel()
	dsn := pgtest.New(t)
	watch := pgtest.OpenURL(t, dsn, 2)
	watch.MustExec(`CREATE TABLE things (id int)`)
	lock := watch.MustBegin()
	defer lock.Rollback() //nolint:errcheck // the transaction only locks
	lock.MustExec(`LOCK TABLE things`)
	for _, o := range []postgres.Options{{MaxConns: 1}, {MaxConns: 1, Silence: 300 * time.Millisecond}} {
		db, err := postgres.OpenWith(dsn, o)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for range 2 {
			for _, query := range []string{`SELECT 1 FROM pg_sleep(600) WHERE $1 = 1`, `SELECT 1 FROM things WHERE $1 = 1`} {
				endEarly(t, db, query, o.Silence > 0)
			}
		}
	}
	wantNoStatement(t, watch)
}

// endEarly runs a statement that lasts longer than its context. If silent, the pool's limit of silence ends it
// instead.
func endEarly(t *testing.T, db *sqlx.DB, query string, silent bool) {
	t.Helper()
	limit := 300 * time.Millisecond
	if silent {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := db.GetContext(ctx, new(int), query, 1); err == nil {
		t.Errorf("%s succeeded", query)
	}
}

// wantNoStatement checks that soon only db itself runs statements in its database.
func wantNoStatement(t *testing.T, db *sqlx.DB) {
	t.Helper()
	await.True(t, 30*time.Second, "no statement runs whose call has ended", func() bool {
		var running int
		err := db.Get(&running, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`)
		return err == nil && running == 0
	})
}

const checkSetting = "client_connection_check_interval"

func TestTheURLMayChooseHowOftenPostgresChecksTheConnection(t *testing.T) {
	t.Parallel()
	dsn := pgtest.New(t)
	for suffix, want := range map[string]string{
		"":                                     "5s",
		"&" + checkSetting + "=70s":            "70s",
		"&options=-c%20" + checkSetting + "=0": "0",
	} {
		var got string
		if err := pgtest.OpenURL(t, dsn+suffix, 1).Get(&got, `SHOW `+checkSetting); err != nil || got != want {
			t.Errorf("with %q in the URL it is %s, not %s: %v", suffix, got, want, err)
		}
	}
}

// Postgres 13 and PgBouncer refuse a connection that brings a setting they do not know.
func TestAServerThatRefusesTheCheckIsUsedWithoutIt(t *testing.T) {
	t.Parallel()
	dsn := pgtest.New(t)
	// With allow, lib/pq hides the reason, so it is not remembered.
	for mode, want := range map[string]int64{"disable": 1, "allow": 3} {
		proxied, refusals := refuseCheck(t, strings.Replace(dsn, "sslmode=disable", "sslmode="+mode, 1))
		db := pgtest.OpenURL(t, proxied, 2)
		db.SetMaxIdleConns(0)
		for range 3 {
			var got string
			if err := db.Get(&got, `SHOW `+checkSetting); err != nil || got != "0" {
				t.Errorf("sslmode=%s: it is %q: %v", mode, got, err)
			}
		}
		if n := refusals.Load(); n != want {
			t.Errorf("sslmode=%s: %d connections were refused, want %d", mode, n, want)
		}
	}
}

// refuseCheck returns the URL of a proxy of a database. The proxy refuses connections that bring checkSetting or
// want TLS. It counts the former.
func refuseCheck(t *testing.T, dsn string) (string, *atomic.Int64) {
	t.Helper()
	refusals := new(atomic.Int64)
	serve := func(client net.Conn, target string) {
		defer client.Close()
		startup := make([]byte, 4)
		if _, err := io.ReadFull(client, startup); err != nil {
			return
		}
		startup = append(startup, make([]byte, binary.BigEndian.Uint32(startup)-4)...)
		if _, err := io.ReadFull(client, startup[4:]); err != nil {
			return
		}
		switch {
		case len(startup) == 8:
			_, _ = client.Write([]byte("N")) // no TLS
			return
		case strings.Contains(string(startup), checkSetting):
			refusals.Add(1)
			answer := "SFATAL\x00C08P01\x00Munsupported startup parameter: " + checkSetting + "\x00\x00"
			_, _ = client.Write(append(binary.BigEndian.AppendUint32([]byte("E"), uint32(len(answer)+4)), answer...))
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer server.Close()
		if _, err := server.Write(startup); err != nil {
			return
		}
		go func() { _, _ = io.Copy(client, server) }()
		_, _ = io.Copy(server, client)
	}
	return pgtest.Proxy(t, dsn, serve), refusals
}
