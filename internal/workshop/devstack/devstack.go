// Package devstack starts a real Postgres and a real Temporal dev server as child processes, for
// `memexport dev` and for tests.
//
// The children never outlive their parent, even if the parent is killed with kill -9: see the
// package process. All servers listen on 127.0.0.1. Do not use them in production: every user of this
// machine can connect to Temporal. Only Postgres asks for a password.
//
// The directory that the option Dir names contains everything that a stack leaves behind. Postgres
// and Temporal can share a directory:
//
//	lock                    held by the running program: see Lock
//	postgres/               the Postgres data directory
//	postgres.log            the log of Postgres; a large one is renamed to postgres.log.old
//	postgres.password       the password of its superuser, for the owner of the directory
//	postgres.port           the port of the last run, which the next run tries first
//	temporal-<version>.db   Temporal's state, one file per server version
//	temporal.log, temporal.port, temporal-ui.port
//
// The context of a Start function limits only the start. Clean deletes the directory, so that the
// next run starts empty.
package devstack

import (
	"context"
	"os"
)

// Prepare builds or downloads the Temporal CLI if it is missing, so that no later start has to wait for
// the CLI: see TemporalOptions.Archives. log prints progress messages and may be nil.
func Prepare(ctx context.Context, log func(format string, args ...any)) error {
	_, err := temporalFinder{log: log}.find(ctx)
	return err
}

// dirMode returns the mode of the directories that a stack creates. If root runs the stack, Postgres runs
// as another user. The mode then lets other users reach the directories inside, but not list the directory.
func dirMode() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// logFunc prints a progress message. It takes the arguments of fmt.Printf, with a format that contains
// no newline. A nil logFunc prints nothing.
type logFunc func(format string, args ...any)

func (l logFunc) printf(format string, args ...any) {
	if l != nil {
		l(format, args...)
	}
}
