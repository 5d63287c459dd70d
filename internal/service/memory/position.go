package memory

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// walPosition is the SQL of a server's position in the write-ahead log, in bytes. A later transaction on a server with
// this or a greater position sees all that was committed before. On a primary that is true of commits that waited for
// the disk.
const walPosition = `((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) - '0/0'::pg_lsn)::bigint`

// errNoPosition means that the server does not tell its position: Amazon Aurora refuses these functions, and a user may
// lack the privilege to call them. The transaction cannot be used any more.
var errNoPosition = errors.New("the server of the memories does not tell its position in the write-ahead log")

// errBehind means that the server lacks commits that another server had when the export was planned.
var errBehind = errors.New("this server of the memories lacks commits that the plan of the export has seen: " +
	"a replica lags, or another cluster has taken the place of the old one; see docs/postgres.md#replicas")

// position returns the position of the transaction's server.
func position(ctx context.Context, tx *sqlx.Tx) (bytes int64, err error) {
	err = tx.QueryRowxContext(ctx, `SELECT `+walPosition).Scan(&bytes)
	var refused *pq.Error
	if errors.As(err, &refused) {
		switch class := refused.Code.Class(); {
		case class == pqerror.ClassFeatureNotSupported, class == pqerror.ClassSyntaxErrorOrAccessRuleViolation,
			refused.Code == pqerror.ObjectNotInPrerequisiteState: // Aurora's error without logical replication
			return 0, errNoPosition
		}
	}
	return bytes, err
}

// replayPatience is how long a transaction waits until its server has reached a position. A standby usually needs some
// milliseconds.
const replayPatience = 2 * time.Second

// awaitPosition waits until the transaction's server has reached a position. It returns errBehind if that takes too long.
func awaitPosition(ctx context.Context, tx *sqlx.Tx, want int64) error {
	for began := time.Now(); ; {
		reached, err := position(ctx, tx)
		if err != nil || reached >= want {
			return err
		}
		if time.Since(began) > replayPatience {
			return errBehind
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
