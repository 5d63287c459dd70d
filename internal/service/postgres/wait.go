package postgres

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// WaitReady waits until the database answers or ctx ends. It waits only if the server may be starting: its
// name or its socket does not exist yet, it refuses connections, or it says that it starts up. Other errors,
// such as a wrong password, are returned at once.
func WaitReady(ctx context.Context, db *sqlx.DB) error {
	var last error // why the last complete attempt failed
	for {
		err := db.PingContext(ctx)
		switch {
		case err == nil:
			return nil
		case last != nil && isOver(ctx):
			return last // err only says that the time is over
		case !mayBeStarting(err):
			return err
		}
		last = err
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// isOver reports whether ctx has ended. A connection attempt may notice the deadline before ctx does.
func isOver(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

func mayBeStarting(err error) bool {
	var unknownHost *net.DNSError
	var answer *pq.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.As(err, &unknownHost) ||
		errors.As(err, &answer) && answer.Code.Name() == "cannot_connect_now"
}
