package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// SharesSessions reports whether several connections of db share sessions of Postgres, because a pooler may
// run each transaction in another session. PgBouncer calls this pool_mode=transaction. The pool needs two
// connections.
//
// SharesSessions sets a variable over one connection. If another connection sees the variable, or the first
// one does not, then the connections share sessions. It tries several times, because other clients of the
// pooler may disturb a try. A pooler that refuses transactions is an error: PgBouncer does so with pool_mode=statement.
func SharesSessions(ctx context.Context, db *sqlx.DB) (shared bool, err error) {
	first, err := db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	second, err := db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	const tries = 10
	for range tries {
		mark := rand.Text()
		// These statements have no arguments, so that lib/pq sends each in one request.
		if _, err := first.ExecContext(ctx, fmt.Sprintf(`SELECT set_config('memexport.session', '%s', false)`, mark)); err != nil {
			return false, fmt.Errorf("look for a pooler: %w", err)
		}
		for c, own := range map[*sql.Conn]bool{second: false, first: true} {
			var seen bool
			err := c.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce(current_setting('memexport.session', true), '') = '%s'`, mark)).Scan(&seen)
			if err != nil {
				return false, fmt.Errorf("look for a pooler: %w", err)
			}
			if seen != own {
				return true, checkTransactions(ctx, first)
			}
		}
	}
	return false, nil
}

// checkTransactions returns an error if a pooler refuses transactions. It does not use BeginTx: see conn.pin.
func checkTransactions(ctx context.Context, c *sql.Conn) error {
	for _, statement := range []string{`BEGIN`, `ROLLBACK`} {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("the pooler refuses transactions: set its pool_mode to transaction or session: %w", err)
		}
	}
	return nil
}
