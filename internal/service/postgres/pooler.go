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
// pooler may disturb a try.
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
				return true, nil
			}
		}
	}
	return false, nil
}
