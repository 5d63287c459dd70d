// Package devstack starts a real Postgres and a real Temporal dev server as child processes, for
// `memexport dev` and for tests.
//
// The children never outlive their parent, even if it is killed with kill -9: see the package process.
// Everything listens on 127.0.0.1. Nothing is meant for production: anyone who can open a loopback
// connection on this machine is superuser of this Postgres.
//
// A directory (Dir in the options) holds everything that a stack leaves behind. Postgres and Temporal
// can share one:
//
//	lock                    held by the running program: see Lock
//	postgres/               the Postgres data directory
//	postgres.log            the log of Postgres; a large one is renamed to postgres.log.old
//	postgres.port           the port of the last run, which the next run prefers
//	temporal-<version>.db   Temporal's state, one file per server version
//	temporal.log, temporal.port, temporal-ui.port
//
// The contexts of the Start functions bound only the start. Clean deletes the directory, so that the
// next run begins from nothing.
package devstack

import "context"

// Prepare gets the programs that a stack needs, so that no later start has to wait for it: see
// TemporalOptions.Archives. log gets progress lines and may be nil.
func Prepare(ctx context.Context, log func(format string, args ...any)) error {
	_, err := temporalFinder{log: log}.find(ctx)
	return err
}

// logFunc is a Log option: it gets a line for people, formatted as by fmt.Printf and without a
// newline. A nil logFunc says nothing.
type logFunc func(format string, args ...any)

func (l logFunc) printf(format string, args ...any) {
	if l != nil {
		l(format, args...)
	}
}
