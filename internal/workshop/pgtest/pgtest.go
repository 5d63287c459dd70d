// Package pgtest gives every test a Postgres database of its own. The databases are on a real server,
// which runs as long as the test process.
//
//	func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }
//
//	func TestSomething(t *testing.T) {
//		db := pgtest.Open(t, 4)
package pgtest

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver "postgres"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/devstack"
)

const (
	dirPattern = "memexport-pgtest-*"
	template   = "pgtest_template"
	limit      = time.Minute // for one statement of this package; most statements take milliseconds
)

// server is the Postgres server of this test process. Main sets it.
var server struct {
	url   string       // URL of the database that this package itself connects to
	pid   int          // process number of the postmaster
	count atomic.Int64 // number of databases created so far
}

// Main starts Postgres, runs the tests of a package, deletes the server's files and exits with the
// exit code of the tests. Before the tests, it runs the steps in order. They fill the template
// database, which New copies for each test. Without steps, the template is empty.
func Main(m *testing.M, steps ...Step) {
	flag.Parse() // the function tell needs the flags before m.Run parses them
	code, err := run(m, steps)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Step changes the template database before the tests run.
type Step func(ctx context.Context, db *sqlx.DB) error

// Migrate is a Step that creates the schema memexport.
func Migrate(ctx context.Context, db *sqlx.DB) error {
	_, err := postgres.Migrate(ctx, db)
	return err
}

func run(m *testing.M, steps []Step) (code int, err error) {
	ctx := context.Background()
	sweep()
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// If root runs the tests, Postgres runs as another user, which must be able to enter dir.
	if err := os.Chmod(dir, 0o711); err != nil {
		return 1, err
	}
	release, err := devstack.Lock(dir)
	if err != nil {
		return 1, err
	}
	defer release()
	pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir, Fast: true, Log: tell})
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := pg.Stop(); err == nil {
			err = stopErr
		}
		_ = os.RemoveAll(pg.DataDir) // the data is outside dir if root's TMPDIR is closed to other users
	}()
	server.url, server.pid = pg.URL, pg.PID
	if err := makeTemplate(ctx, steps); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, pg.Err()
}

func makeTemplate(ctx context.Context, steps []Step) error {
	if err := execute(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	db, err := postgres.Open(databaseURL(template), 2)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, step := range steps {
		if err := step(ctx, db); err != nil {
			return fmt.Errorf("fill the template database: %w", err)
		}
	}
	// Postgres copies a template only if nothing is connected to it. So allow no new connections,
	// and end the connections of the steps.
	if err := execute(ctx, "ALTER DATABASE "+template+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	return execute(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+template+"'")
}

// New creates a copy of the template database and returns its URL for lib/pq. The URL connects as a
// superuser. The database is dropped at the end of the test, even if connections to it are still
// open.
func New(tb testing.TB) string {
	tb.Helper()
	if server.url == "" {
		tb.Fatal("pgtest: no Postgres runs: call pgtest.Main in TestMain of this package")
	}
	name := fmt.Sprintf("test_%d", server.count.Add(1))
	if err := execute(context.Background(), "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatal("pgtest:", err)
	}
	tb.Cleanup(func() {
		if err := execute(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Error("pgtest:", err)
		}
	})
	return databaseURL(name)
}

// Open creates a database as New does and returns a pool of at most size connections to it. The
// pool is closed at the end of the test.
func Open(tb testing.TB, size int) *sqlx.DB {
	tb.Helper()
	return OpenURL(tb, New(tb), size)
}

// OpenURL returns a pool of at most size connections to the database at url. The pool is closed at
// the end of the test.
func OpenURL(tb testing.TB, url string, size int) *sqlx.DB {
	tb.Helper()
	db, err := postgres.Open(url, size)
	if err != nil {
		tb.Fatal("pgtest:", err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// Proxy starts a proxy for the database at this URL, and returns the URL of the proxy. serve forwards a connection
// from client to the address target of the server. The proxy runs until the end of the test.
func Proxy(tb testing.TB, databaseURL string, serve func(client net.Conn, target string)) string {
	tb.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	target := u.Host
	u.Host = listener.Addr().String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go serve(client, target)
		}
	}()
	return u.String()
}

// execute runs one statement on a new connection.
func execute(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	db, err := sql.Open("postgres", server.url)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func databaseURL(name string) string {
	u, err := url.Parse(server.url)
	if err != nil {
		panic(err) // cannot happen: devstack built this URL
	}
	u.Path = "/" + name
	return u.String()
}

// sweep deletes what killed test processes left behind. It ignores errors.
func sweep() {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern))
	if err != nil {
		return
	}
	for _, dir := range left {
		// A process may have just created this directory and not locked it yet.
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		_ = devstack.Clean(dir, nil)
	}
}

// tell prints the progress messages of devstack if the tests run with -v.
func tell(format string, args ...any) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
