package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// A database may refuse to write, with the SQLSTATE 25006: it is a standby, perhaps the old primary after a
// fail-over, or it was made read-only, as managed servers do when their disk is full. Such a server answers and
// keeps its connections open, so that a pool would use them until they are closed for another reason. Therefore a
// connection whose server has refused to write is not used again. The pool opens a new one, which may lead to the
// new primary.

// CheckWritable returns an error if the database does not answer or refuses to write. The second case is an error
// for which ReadOnly returns true.
func CheckWritable(ctx context.Context, db *sqlx.DB) error {
	// Raise an error instead of returning a result, so that the connection is not used again.
	_, err := db.ExecContext(ctx, `DO $$ BEGIN IF current_setting('transaction_read_only')::boolean THEN RAISE read_only_sql_transaction; END IF; END $$`)
	return explainReadOnly(err)
}

// explainReadOnly adds a remedy to err, if err means that the service's own database refuses to write.
func explainReadOnly(err error) error {
	if !ReadOnly(err) {
		return err
	}
	return fmt.Errorf("the database in DATABASE_URL is read-only: give its disk room if that is full, make DATABASE_URL lead to the primary after a fail-over, "+
		"or turn off default_transaction_read_only of the role or the database: %w", err)
}

// ReadOnly reports whether err means that the database refuses to write.
func ReadOnly(err error) bool { return pq.As(err, pqerror.ReadOnlySQLTransaction) != nil }

// refusesWrites notes that the server refuses to write, if err says so, and returns err.
func (c *conn) refusesWrites(err error) error {
	c.readOnly = c.readOnly || ReadOnly(err)
	return err
}

// IsValid reports whether the pool may use the connection again.
func (c *conn) IsValid() bool { return !c.readOnly && c.pqConn.IsValid() }

// refusedBegin returns the error of a BEGIN. A standby refuses a transaction that may write with
// feature_not_supported, which means other things for other statements. refusedBegin turns that into the SQLSTATE of
// a write that is refused.
func refusedBegin(err error) error {
	if answer := pq.As(err, pqerror.FeatureNotSupported); answer != nil {
		answer.Code = pqerror.ReadOnlySQLTransaction
	}
	return err
}

// noPrimary returns the error of an attempt to connect. If the URL asks with target_session_attrs for a server that
// can be written to, and only others answer, lib/pq returns an error without an SQLSTATE. noPrimary gives it the
// SQLSTATE of a write that is refused.
func noPrimary(err error) error {
	if pq.As(err) == nil && (strings.Contains(err.Error(), "session is read-only") || strings.Contains(err.Error(), "server is in hot standby mode")) {
		return &pq.Error{Code: pqerror.ReadOnlySQLTransaction, Severity: pqerror.SeverityFatal, Message: err.Error()}
	}
	return err
}
