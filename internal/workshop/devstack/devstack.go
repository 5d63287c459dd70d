// Package devstack starts a real Postgres and a real Temporal dev server as child processes, for
// `memexport dev` and for tests.
//
// The children never outlive their parent, also when the parent is killed with kill -9, and they
// sit in process groups of their own, so that Ctrl-C in a terminal reaches the parent only, which
// then stops them in order. Everything listens on 127.0.0.1 and nothing is meant for production:
// whoever can open a loopback connection on this machine is superuser of this Postgres.
//
// A directory (Dir in the options) holds all that a stack leaves behind, and Postgres and Temporal
// can share one:
//
//	lock                    held by the running program, see Lock
//	postgres/               the Postgres data directory
//	postgres.log            what Postgres says (.old: the one before, when it grew large)
//	postgres.port           the port that it got last time
//	temporal-<version>.db   Temporal's state, one file per server version
//	temporal.log, temporal.port, temporal-ui.port
//
// The contexts given to the Start functions bound the start only. Clean deletes the
// directory, to begin from nothing.
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
