// Package postgres opens Postgres databases and migrates the schema memexport, which holds the tables of
// this service. Its connections do what lib/pq alone does not: a call ends when its context ends, even if
// Postgres hangs, and statements work through a pooler that changes the session after each transaction.
package postgres

import (
	"cmp"
	"database/sql"
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
	// SilenceHint is added to the error of a call that failed for silence. It names the setting to change.
	SilenceHint string

	// Pooled says that a pooler gives each transaction another session of Postgres: see SharesSessions.
	Pooled bool

	// Observed measures and traces each statement. Each row of a result then costs a little more, so the
	// pool that reads memories is not observed.
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

// OpenWith is like Open, with options.
func OpenWith(url string, o Options) (*sqlx.DB, error) {
	config, err := pq.NewConfig(url)
	if err != nil {
		return nil, err
	}
	// With binary_parameters, Postgres would refuse the filters of exports, which are JSON. It exists for
	// poolers, which Options.Pooled handles.
	config.BinaryParameters = false
	c, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, err
	}
	c.Dialer(dialer{options: o})
	openDB := sql.OpenDB
	if o.Observed {
		openDB = openObserved
	}
	db := sqlx.NewDb(openDB(connector{pq: c, pooled: o.Pooled}), "postgres")
	db.SetMaxOpenConns(o.MaxConns)
	db.SetMaxIdleConns(cmp.Or(o.MaxConns, 2))
	db.SetConnMaxIdleTime(5 * time.Minute) // frees the connections that a burst opened
	return db, nil
}
