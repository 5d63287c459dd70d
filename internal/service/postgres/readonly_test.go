package postgres_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// makeReadOnly makes the later sessions of the database read-only, or lets them write again. Sessions that are open
// stay as they are.
func makeReadOnly(t *testing.T, db *sqlx.DB, value string) {
	t.Helper()
	if _, err := db.Exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = ` + value + `', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
}

func TestAConnectionWhoseServerRefusesToWriteIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	operator := pgtest.OpenURL(t, url, 1)
	operator.MustExec(`CREATE TABLE things (id int)`)
	for name, write := range map[string]func(db *sqlx.DB) error{
		"an insert": func(db *sqlx.DB) error {
			_, err := db.ExecContext(t.Context(), `INSERT INTO things VALUES ($1)`, 1)
			return err
		},
		"a query": func(db *sqlx.DB) error {
			return db.GetContext(t.Context(), new(int), `INSERT INTO things VALUES ($1) RETURNING id`, 1)
		},
		"CheckWritable": func(db *sqlx.DB) error { return postgres.CheckWritable(t.Context(), db) },
	} {
		for _, o := range []postgres.Options{{MaxConns: 1}, {MaxConns: 1, Prepare: true, Observed: true}, {MaxConns: 1, Pooled: true}} {
			db, err := postgres.OpenWith(url, o)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			makeReadOnly(t, operator, "on")
			if err := db.PingContext(t.Context()); err != nil { // opens the connection
				t.Fatal(err)
			}
			makeReadOnly(t, operator, "off")
			if err := write(db); !postgres.ReadOnly(err) {
				t.Errorf("%s: %v", name, err)
			}
			if err := write(db); err != nil {
				t.Errorf("%s over the next connection: %v", name, err)
			}
		}
	}
}
