// Package postgres opens Postgres databases and migrates this service's schema, memexport.
package postgres

import (
	"bufio"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Open returns a pool of at most maxConns connections to the database that a postgres:// URL or a
// keyword/value string names. It connects to nothing yet, so that a process can start before its
// database does.
func Open(url string, maxConns int) (*sqlx.DB, error) {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return nil, err
	}
	connector.Dialer(dialer{})
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

// dialer gives lib/pq, which reads 4 KiB at a time, a larger read-ahead: fewer system calls.
type dialer struct{ net.Dialer }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &readAheadConn{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

type readAheadConn struct {
	net.Conn
	buffer *bufio.Reader
}

func (c *readAheadConn) Read(p []byte) (int, error) { return c.buffer.Read(p) }

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema memexport up to date; several processes may do so at once. It returns
// the number of migrations that were applied.
func Migrate(ctx context.Context, db *sqlx.DB) (int, error) {
	provider, err := newProvider(ctx, db)
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate the schema memexport: %w", err)
	}
	return len(results), nil
}

// CheckMigrated reports a schema that lacks migrations which this program needs.
func CheckMigrated(ctx context.Context, db *sqlx.DB) error {
	var missing bool
	if err := db.GetContext(ctx, &missing, `SELECT to_regclass('memexport.schema_version') IS NULL`); err != nil {
		return err
	}
	if !missing {
		var version int64
		if err := db.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM memexport.schema_version WHERE is_applied`); err != nil {
			return err
		}
		latest, err := latestVersion()
		if err != nil {
			return err
		}
		missing = version < latest
	}
	if missing {
		return fmt.Errorf("the schema memexport in DATABASE_URL is not up to date: run `memexport migrate`")
	}
	return nil
}

func newProvider(ctx context.Context, db *sqlx.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	// goose's own table is to stand in the schema, so this one statement precedes every migration.
	// Unlike CREATE SCHEMA IF NOT EXISTS it does not fail when two processes come at once.
	const createSchema = `DO $$ BEGIN CREATE SCHEMA memexport; EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$`
	if _, err := db.ExecContext(ctx, createSchema); err != nil {
		return nil, fmt.Errorf("create the schema memexport: %w", err)
	}
	// Who comes second looks every second, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db.DB, files,
		goose.WithSessionLocker(locker), goose.WithTableName("memexport.schema_version"))
}

func latestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(files[len(files)-1])
}
