package export

import (
	"context"
	"fmt"
	"time"
)

// Census counts the exports whose objects are not deleted yet.
type Census struct {
	Groups []Group
	Bytes  int64 // the bytes of these exports in the bucket
	Full   bool  // whether Create refuses new exports because the store is full
}

// Group counts the exports of a Census that have the same status and format.
type Group struct {
	Status  Status `db:"status"` // as clients see it
	Format  string `db:"format"`
	Exports int    `db:"exports"`
	// Queued is how many exports of the group wait for a place to run. OldestQueued is the age of the oldest
	// waiting export in seconds.
	Queued       int     `db:"queued"`
	OldestQueued float64 `db:"oldest_queued"`
	// Oldest is the time in seconds since the first unfinished export of the group got its place to run. It is
	// 0 if the exports of the group have ended.
	Oldest float64 `db:"oldest"`
	// Overdue is how many exports of the group have objects that should have been deleted at least slack ago.
	Overdue int `db:"overdue"`
}

// TakeCensus counts the exports that are not purged. slack is the delay after which a purge counts as
// overdue. grace is how long the objects of an export stay after it has expired.
func (s *Store) TakeCensus(ctx context.Context, slack, grace time.Duration) (Census, error) {
	var c Census
	err := s.db.SelectContext(ctx, &c.Groups, `SELECT CASE WHEN status = 'READY' AND expires_at <= now() THEN 'EXPIRED' ELSE status END AS status,
		format, count(*) AS exports,
		count(*) FILTER (WHERE `+waiting+`) AS queued,
		coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE `+waiting+`)), 0) AS oldest_queued,
		coalesce(extract(epoch FROM now() - min(coalesce(dispatched_at, created_at))
			FILTER (WHERE status IN ('PENDING', 'PROCESSING') AND `+dispatched+`)), 0) AS oldest,
		count(*) FILTER (WHERE status = 'READY' AND expires_at < now() - ($1::bigint + $2::bigint) * interval '1 microsecond'
			OR status IN ('FAILED', 'EXPIRED') AND updated_at < now() - ($1::bigint + $2::bigint) * interval '1 microsecond'
			OR deleted_at < now() - $1::bigint * interval '1 microsecond') AS overdue
		FROM memexport.exports WHERE purged_at IS NULL GROUP BY 1, 2`, slack.Microseconds(), grace.Microseconds())
	if err != nil {
		return c, fmt.Errorf("count the exports: %w", err)
	}
	if c.Bytes, err = selectAllStored(ctx, s.db); err != nil {
		return c, err
	}
	c.Full, err = s.full(ctx)
	return c, err
}
