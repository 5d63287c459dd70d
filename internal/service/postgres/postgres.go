// Package postgres opens Postgres databases and migrates the schema memexport, which holds the tables of this
// service. Its connections add three things to lib/pq: a call ends when its context ends, even if Postgres
// hangs; Postgres soon ends the statement of such a call too; and statements work through a pooler that may run
// each transaction in another session.
package postgres

import (
	"cmp"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Options configure a pool. The zero value is a pool without limits.
type Options struct {
	MaxConns int // 0 means any number

	// Silence is how long Postgres may send nothing while a statement runs. After that, the call fails
	// and its connection is closed. Zero sets no limit: the context alone bounds the call.
	Silence time.Duration
	// SilenceHint is added to the error of a call that failed because of Silence. It names the setting to
	// change.
	SilenceHint string

	// Pooled says that a pooler may run each transaction in another session of Postgres: see SharesSessions.
	Pooled bool

	// Prepare keeps the statements that have arguments prepared in each connection. This saves a round trip
	// and Postgres's work to parse them. Set it only if the column types of the tables do not change: Postgres
	// refuses a prepared statement when the types of its result have changed. Prepare has no effect if Pooled
	// is set.
	Prepare bool

	// Observed measures and traces each statement. This makes each row of a result cost a little more, so the
	// pool that reads memories does not use it.
	Observed bool
}

// connectTimeout limits the time to open a connection. database/sql opens some connections with a context
// that never ends.
const connectTimeout = 15 * time.Second

// Open returns a pool of at most maxConns connections to a database. The url is a postgres:// URL or a
// string of key=value pairs. Open does not connect; the first query does.
func Open(url string, maxConns int) (*sqlx.DB, error) {
	return OpenWith(url, Options{MaxConns: maxConns})
}

// ErrSeveralServers means that the connections of one pool could lead to different servers. A replica may lack what
// another server has, so a statement would not see what an earlier one has seen.
var ErrSeveralServers = errors.New("it names several hosts, and all connections must lead to the same server: name one host, " +
	"or add target_session_attrs=primary, which finds the primary")

// checkHosts returns ErrSeveralServers unless all connections lead to one host or to the primary.
func checkHosts(config pq.Config) error {
	switch config.TargetSessionAttrs {
	case pq.TargetSessionAttrsPrimary, pq.TargetSessionAttrsReadWrite:
		return nil
	}
	if len(config.Multi) > 0 {
		return ErrSeveralServers
	}
	return nil
}

// OpenWith is like Open, with options. It returns ErrSeveralServers if the url leads to several servers.
func OpenWith(url string, o Options) (*sqlx.DB, error) {
	config, err := pq.NewConfig(url)
	if err != nil {
		return nil, err
	}
	if err := checkHosts(config); err != nil {
		return nil, err
	}
	// Ignore binary_parameters in the URL: with it, Postgres would refuse the filters of exports, which are
	// JSON. URLs for poolers contain it, but Options.Pooled does what these need.
	config.BinaryParameters = false
	c, err := newConnector(config, o)
	if err != nil {
		return nil, err
	}
	openDB := sql.OpenDB
	if o.Observed {
		openDB = openObserved
	}
	db := sqlx.NewDb(openDB(c), "postgres")
	db.SetMaxOpenConns(o.MaxConns)
	db.SetMaxIdleConns(cmp.Or(o.MaxConns, 2))
	db.SetConnMaxIdleTime(5 * time.Minute) // frees the connections that a burst opened
	return db, nil
}
