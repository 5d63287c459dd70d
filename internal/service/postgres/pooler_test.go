//go:build poolers

package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

func TestAPoolerThatSharesSessionsIsRecognized(t *testing.T) {
	url := pgtest.New(t)
	for _, c := range []struct {
		mode   string
		size   int
		shared bool
	}{{"session", 2, false}, {"transaction", 1, true}, {"transaction", 2, true}, {"transaction", 20, true}} {
		t.Run(fmt.Sprint(c.mode, c.size), func(t *testing.T) {
			wantShared(t, pgtest.PgBouncer(t, url, c.mode, c.size), c.shared)
		})
	}
	t.Run("no pooler", func(t *testing.T) { wantShared(t, url, false) })
	t.Run("statement", func(t *testing.T) {
		_, err := postgres.SharesSessions(t.Context(), pgtest.OpenURL(t, pgtest.PgBouncer(t, url, "statement", 2), 2))
		wantError(t, err, "refuses transactions", "pool_mode")
	})
}

func wantShared(t *testing.T, url string, want bool) {
	t.Helper()
	if got, err := postgres.SharesSessions(t.Context(), pgtest.OpenURL(t, url, 2)); got != want || err != nil {
		t.Errorf("SharesSessions returned %v, %v; want %v", got, err, want)
	}
}

// Many clients share two sessions. If a statement were parsed in one session and executed in another, it
// would fail, or run with the arguments of another statement.
func TestStatementsThroughATransactionPoolerKeepTheirArguments(t *testing.T) {
	url := pgtest.New(t)
	pgtest.OpenURL(t, url, 1).MustExec(`CREATE TABLE note (client int, n int)`)
	db, err := postgres.OpenWith(pgtest.PgBouncer(t, url, "transaction", 2), postgres.Options{MaxConns: 8, Pooled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const clients, rounds = 8, 50
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for n := range rounds {
				if err := note(t.Context(), db, client, n); err != nil {
					t.Errorf("client %d, round %d: %v", client, n, err)
					return
				}
			}
		})
	}
	group.Wait()
	var rows int
	if err := db.Get(&rows, `SELECT count(DISTINCT (client, n)) FROM note`); err != nil || rows != clients*rounds {
		t.Errorf("%d rows: %v", rows, err)
	}
}

// note inserts a row with statements of different shapes and reads it back.
func note(ctx context.Context, db *sqlx.DB, client, n int) error {
	if _, err := db.ExecContext(ctx, `INSERT INTO note VALUES ($1, $2)`, client, n); err != nil {
		return err
	}
	var text string
	if err := db.GetContext(ctx, &text, `SELECT $1 || (SELECT '-' || count(*) FROM note WHERE client = $2 AND n = $3)`, fmt.Sprint(client), client, n); err != nil {
		return err
	}
	if text != fmt.Sprintf("%d-1", client) {
		return fmt.Errorf("read %q", text)
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	var numbers []int
	if err := tx.SelectContext(ctx, &numbers, `SELECT n FROM note WHERE client = $1 ORDER BY n`, client); err != nil {
		return err
	}
	if len(numbers) != n+1 || numbers[n] != n {
		return fmt.Errorf("read %v", numbers)
	}
	return tx.Commit()
}

func TestAFailedStatementThroughATransactionPoolerLeavesTheConnectionUsable(t *testing.T) {
	db, err := postgres.OpenWith(pgtest.PgBouncer(t, pgtest.New(t), "transaction", 1), postgres.Options{MaxConns: 1, Pooled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		if _, err := db.Exec(`SELECT 1 / $1::int`, 0); err == nil {
			t.Error("no error")
		}
		if err := db.Get(new(int), `SELECT 1 / n FROM generate_series(1, $1::int) g(i), LATERAL (SELECT 2 - i AS n) x`, 2); err == nil {
			t.Error("no error")
		}
		var n int
		if err := db.Get(&n, `SELECT $1::int`, 7); err != nil || n != 7 {
			t.Errorf("read %d: %v", n, err)
		}
	}
}

// PgBouncer refuses the setting that memexport asks for, so docs/postgres.md gives it to the role.
func TestPostgresSoonEndsStatementsThatCameThroughAPooler(t *testing.T) {
	url := pgtest.New(t)
	watch := pgtest.OpenURL(t, url, 1)
	var database string
	if err := watch.Get(&database, `SELECT current_database()`); err != nil {
		t.Fatal(err)
	}
	watch.MustExec(`ALTER ROLE CURRENT_USER IN DATABASE ` + database + ` SET client_connection_check_interval = '5s'`)
	for _, mode := range []string{"session", "transaction"} {
		db, err := postgres.OpenWith(pgtest.PgBouncer(t, url, mode, 2), postgres.Options{MaxConns: 1, Pooled: mode == "transaction"})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for range 2 {
			endEarly(t, db, `SELECT 1 FROM pg_sleep(600) WHERE $1 = 1`, false)
		}
	}
	wantNoStatement(t, watch)
}
