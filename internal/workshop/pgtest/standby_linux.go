package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"memexport/internal/workshop/devstack"
)

// Standby starts a hot standby of the server of this test process. It returns a function that turns the URL
// of a database into the URL of the same database on the standby. The standby immediately cancels every query
// that delays replication. The end of the test stops the standby.
func Standby(tb testing.TB) (through func(databaseURL string) string) {
	tb.Helper()
	primary, err := url.Parse(server.url)
	if err != nil || server.url == "" {
		tb.Fatal("pgtest: no Postgres runs: call pgtest.Main in TestMain of this package")
	}
	postgres, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", server.pid))
	if err != nil {
		tb.Fatal("pgtest: find the program of Postgres:", err)
	}
	dir, err := os.MkdirTemp("", "memexport-standby-*")
	if err == nil {
		err = os.Chmod(dir, 0o777) // another user must be able to create the data directory
	}
	if err != nil {
		tb.Fatal("pgtest:", err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	at := func(address string) func(string) string {
		return func(databaseURL string) string { return strings.Replace(databaseURL, primary.Host, address, 1) }
	}
	const script = `rm -rf data && "$1"/pg_basebackup -d "$2" -D data -R --checkpoint=fast --no-sync &&
		exec "$1"/postgres -D data -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c port="$3" \
			-c max_standby_streaming_delay=0 -c fsync=off -c shared_buffers=64MB`
	standby, err := devstack.StartServer(context.Background(), devstack.ServerOptions{
		Name: "standby", Dir: dir, Unprivileged: true,
		Command: func(port int) []string {
			return []string{"sh", "-c", script, "sh", filepath.Dir(postgres), server.url, fmt.Sprint(port)}
		},
		Ready: func(ctx context.Context, address string) error {
			db, err := sql.Open("postgres", at(address)(server.url))
			if err != nil {
				return err
			}
			defer db.Close()
			return db.PingContext(ctx)
		},
	})
	if err != nil {
		tb.Fatal("pgtest: start a standby with pg_basebackup:", err)
	}
	tb.Cleanup(standby.Stop)
	return at(standby.Address)
}
