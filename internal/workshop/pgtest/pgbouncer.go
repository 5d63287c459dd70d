package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"memexport/internal/workshop/devstack"
)

// PgBouncer starts PgBouncer in front of the database at databaseURL, and returns the URL that leads through
// it. The mode is session, transaction or statement, and size is the number of connections that PgBouncer
// opens to the database. PgBouncer stops at the end of the test.
func PgBouncer(tb testing.TB, databaseURL, mode string, size int) string {
	tb.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // Debian installs it there, and PATH of an ordinary user lacks that directory
	}
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal("pgbouncer:", err)
	}
	password, _ := u.User.Password()
	through := func(address string) string {
		v := *u
		v.Host = address
		return v.String()
	}
	dir, err := os.MkdirTemp("", "memexport-pgbouncer-*") // not TB.TempDir, because another user must be able to read it
	if err != nil {
		tb.Fatal("pgbouncer:", err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal("pgbouncer:", err)
	}
	pgbouncer, err := devstack.StartServer(context.Background(), devstack.ServerOptions{
		Name: "pgbouncer", Dir: dir, Unprivileged: true,
		Command: func(port int) []string {
			config := filepath.Join(dir, "pgbouncer.ini")
			text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n"+
				"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\n"+
				"pool_mode = %s\ndefault_pool_size = %d\nignore_startup_parameters = extra_float_digits\n",
				u.Hostname(), u.Port(), u.User.Username(), password, port, mode, size)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				return []string{"false", strconv.Quote(err.Error())}
			}
			return []string{program, config}
		},
		Ready: func(ctx context.Context, address string) error {
			db, err := sql.Open("postgres", through(address))
			if err != nil {
				return err
			}
			defer db.Close()
			return db.PingContext(ctx)
		},
	})
	if err != nil {
		tb.Fatal("pgbouncer (apt-get install pgbouncer):", err)
	}
	tb.Cleanup(pgbouncer.Stop)
	return through(pgbouncer.Address)
}
