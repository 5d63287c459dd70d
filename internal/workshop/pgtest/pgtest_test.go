package pgtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/workshop/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, func(ctx context.Context, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, "CREATE TABLE note (text text PRIMARY KEY)")
		return err
	})
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := pgtest.Open(t, 1)
			// If the tests shared a database, it would reject the same key the second time.
			if _, err := db.Exec("INSERT INTO note VALUES ('mine')"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestADatabaseIsDroppedEvenIfAConnectionIsLeft(t *testing.T) {
	var name string
	t.Run("leaves a connection", func(t *testing.T) {
		db, err := sql.Open("postgres", pgtest.New(t)) // leave this connection open until the end of the test
		if err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	var exists bool
	err := pgtest.Open(t, 1).QueryRow("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("the database %s is still there", name)
	}
}
