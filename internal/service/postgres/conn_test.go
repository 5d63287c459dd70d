package postgres_test

import (
	"context"
	"testing"
	"time"

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
