// Package temporaltest gives tests a real Temporal dev server, whose state is in memory.
package temporaltest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"memexport/internal/workshop/devstack"
)

// Main runs the tests of a package with one server, and exits with the exit code of the tests. It calls
// prepare with the server's address before the tests; if prepare fails, no test runs.
func Main(m *testing.M, prepare func(address string) error) {
	flag.Parse() // the function tell needs the flags before m.Run parses them
	code, err := run(m, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporaltest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M, prepare func(address string) error) (code int, err error) {
	dir, err := os.MkdirTemp("", "memexport-temporaltest-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	server, err := start(context.Background(), dir)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := prepare(server.Address); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// Start starts a server and returns its address. The server stops at the end of the test.
func Start(tb testing.TB) (address string) {
	tb.Helper()
	server, err := start(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatal("temporaltest:", err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Error("temporaltest:", err)
		}
	})
	return server.Address
}

func start(ctx context.Context, dir string) (*devstack.Temporal, error) {
	return devstack.StartTemporal(ctx, devstack.TemporalOptions{Dir: dir, InMemory: true, Headless: true, Log: tell})
}

// tell prints the progress lines of devstack under go test -v.
func tell(format string, args ...any) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
