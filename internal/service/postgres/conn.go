package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync/atomic"

	"github.com/lib/pq"

	"memexport/internal/service/datarow"
)

// checkSetting makes Postgres look regularly whether the client of a running statement is still connected. Without
// it, Postgres notices a closed connection only when it sends a row. A statement that computes or waits for a lock
// would run on after its call has ended, and no limit of a pool would count it.
const checkSetting = "client_connection_check_interval"

// checkInterval is the longest time for which a statement runs after its connection was closed. A check costs
// Postgres one system call.
const checkInterval = "5s"

// newConnector returns a connector for config.
func newConnector(config pq.Config, o Options) (*connector, error) {
	c := &connector{pooled: o.Pooled, prepare: o.Prepare, allow: config.SSLMode == pq.SSLModeAllow}
	var err error
	if c.plain, err = pq.NewConnectorConfig(config); err != nil {
		return nil, err
	}
	c.plain.Dialer(dialer{options: o})
	_, chosen := config.Runtime[checkSetting]
	if o.Pooled || chosen || strings.Contains(config.Options, checkSetting) {
		return c, nil // a setting of the URL counts, and a pooler has its own settings for its sessions
	}
	config = config.Clone()
	config.Runtime[checkSetting] = checkInterval // sent with the user's name, so it costs no round trip
	if c.checked, err = pq.NewConnectorConfig(config); err != nil {
		return nil, err
	}
	c.checked.Dialer(dialer{options: o})
	return c, nil
}

// connector opens connections for database/sql.
type connector struct {
	plain   *pq.Connector
	checked *pq.Connector // also sets checkSetting; nil if that is not wanted
	refused atomic.Bool   // the server refuses checkSetting; unused with sslmode=allow
	allow   bool          // sslmode=allow: lib/pq hides why the server refused

	pooled  bool
	prepare bool
}

func (c *connector) Driver() driver.Driver { return c.plain.Driver() }

// open opens a connection with checkSetting if the server knows it. Postgres 13 and poolers may refuse it.
func (c *connector) open(ctx context.Context) (driver.Conn, error) {
	if c.checked == nil || c.refused.Load() {
		return c.plain.Connect(ctx)
	}
	opened, err := c.checked.Connect(ctx)
	if err == nil || !c.mayRefuse(err) {
		return opened, err
	}
	if opened, err = c.plain.Connect(ctx); err == nil && !c.allow { // otherwise the cause may have been another one
		c.refused.Store(true)
	}
	return opened, err
}

// mayRefuse reports whether a server may have refused a connection because of checkSetting. With sslmode=allow,
// lib/pq tries again with TLS after a refusal, and returns only the error of the second try.
func (c *connector) mayRefuse(err error) bool {
	answer := pq.As(err)
	return c.allow || strings.Contains(err.Error(), checkSetting) || answer != nil && answer.Code.Name() == "feature_not_supported"
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	state := &connecting{ctx: ctx}
	opened, err := c.open(context.WithValue(ctx, connectingKey{}, state))
	if err != nil {
		return nil, noPrimary(err)
	}
	state.socket.use(context.Background())
	opening := &conn{pqConn: opened.(pqConn), socket: state.socket, pooled: c.pooled}
	if c.prepare && !c.pooled { // a pooler may execute a statement in another session than the one that has prepared it
		opening.prepared = map[string]pqStmt{}
	}
	return opening, nil
}

// pqConn lists what lib/pq's connections implement for database/sql.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// pqStmt lists what lib/pq's prepared statements implement for database/sql.
type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// maxPrepared bounds the prepared statements of a connection, which need some RAM in Postgres. This program
// has fewer different statements.
const maxPrepared = 200

// conn is a connection of lib/pq that passes the context of each call to its socket. A statement from Prepare
// is an exception: it ends with the context of its transaction.
type conn struct {
	pqConn
	socket *socket
	pooled bool
	inTx   bool

	readOnly bool // the server has refused to write; see refusesWrites

	prepared map[string]pqStmt // by the text of the statement; nil if statements are not kept
}

// statement returns the prepared statement for a query with arguments. It returns nil if the connection does
// not keep statements.
func (c *conn) statement(ctx context.Context, query string, args []driver.NamedValue) (pqStmt, error) {
	if c.prepared == nil || len(args) == 0 {
		return nil, nil
	}
	kept, ok := c.prepared[query]
	if ok || len(c.prepared) == maxPrepared {
		return kept, nil
	}
	prepared, err := c.pqConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	kept = prepared.(pqStmt)
	c.prepared[query] = kept
	return kept, nil
}

// exec executes a statement, as a prepared one if the connection keeps statements.
func (c *conn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	kept, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		return kept.ExecContext(ctx, args)
	}
	return c.pqConn.ExecContext(ctx, query, args)
}

// query is like exec for a statement that returns rows.
func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	kept, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		return kept.QueryContext(ctx, args)
	}
	return c.pqConn.QueryContext(ctx, query, args)
}

func (c *conn) Ping(ctx context.Context) error {
	defer c.socket.use(ctx)()
	return c.pqConn.Ping(ctx)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	defer c.socket.use(ctx)()
	return c.pqConn.PrepareContext(ctx, query)
}

func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	restore := c.socket.use(ctx)
	begun, err := c.begin(ctx, options)
	if err != nil {
		restore()
		return nil, c.refusesWrites(refusedBegin(err))
	}
	c.inTx = true
	return &tx{Tx: begun, ended: func() { c.inTx = false; restore() }}, nil
}

// begin begins a transaction. Without a level of isolation in options, the level is READ COMMITTED, whatever
// default_transaction_isolation is. At a higher level, a transaction that has waited for a lock would not see what its
// predecessor has committed.
func (c *conn) begin(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if sql.IsolationLevel(options.Isolation) == sql.LevelDefault {
		options.Isolation = driver.IsolationLevel(sql.LevelReadCommitted)
	}
	return c.pqConn.BeginTx(ctx, options)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	defer c.socket.use(ctx)()
	end, err := c.pin(ctx, args)
	if err != nil {
		return nil, err
	}
	result, err := c.exec(ctx, query, args)
	return result, c.refusesWrites(end(err))
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	restore := c.socket.use(ctx)
	end, err := c.pin(ctx, args)
	if err == nil {
		var result driver.Rows
		if result, err = c.query(ctx, query, args); err == nil {
			read := result.(pqRows)
			if datarow.WantsFirstColumn(ctx) {
				read = firstColumn{read}
			}
			return &rows{pqRows: read, ended: func(err error) error { defer restore(); return end(err) }}, nil
		}
		err = end(err)
	}
	restore()
	return nil, c.refusesWrites(err)
}

// pin begins a transaction for one statement with arguments, if the connection is pooled and not in a
// transaction already. lib/pq parses such a statement and executes it in two requests. Between the two, a
// pooler could change the session, and another client's statement would run with these arguments.
//
// The function end commits the transaction, or rolls it back if err is not nil, and returns the first
// error. pin does not use BeginTx. lib/pq would ask for a transaction that may write, and a standby refuses that
// even for a read.
func (c *conn) pin(ctx context.Context, args []driver.NamedValue) (end func(err error) error, err error) {
	if !c.pooled || c.inTx || len(args) == 0 {
		return func(err error) error { return err }, nil
	}
	if _, err := c.pqConn.ExecContext(ctx, `BEGIN ISOLATION LEVEL READ COMMITTED`, nil); err != nil {
		return nil, err
	}
	return func(err error) error {
		if err == nil {
			_, err = c.pqConn.ExecContext(ctx, `COMMIT`, nil)
			return err
		}
		_, _ = c.pqConn.ExecContext(ctx, `ROLLBACK`, nil) // the first error is returned
		return err
	}, nil
}

// tx is a transaction. It calls the function ended after the commit or the rollback.
type tx struct {
	driver.Tx
	ended func()
}

func (t *tx) Commit() error   { defer t.ended(); return t.Tx.Commit() }
func (t *tx) Rollback() error { defer t.ended(); return t.Tx.Rollback() }

// pqRows lists what lib/pq's rows implement for database/sql.
type pqRows interface {
	driver.RowsNextResultSet
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// firstColumn is a result that reports only its first column, so that lib/pq decodes only that one. See package
// datarow.
type firstColumn struct{ pqRows }

func (r firstColumn) Columns() []string { return r.pqRows.Columns()[:1] }

// rows is the result of a query. Close closes the result, calls ended with the error or nil, and returns what
// ended returns.
type rows struct {
	pqRows
	ended func(err error) error
}

func (r *rows) Close() error { return r.ended(r.pqRows.Close()) }
