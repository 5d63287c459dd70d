package export

import (
	"context"
	"fmt"
	"time"
)

// Overdue returns up to limit exports whose next step is overdue and whose id is greater than after,
// in the order of their ids. An export is overdue when it is
//   - PENDING or PROCESSING, has a place to run, and has not changed for slack,
//   - READY and expired more than slack ago,
//   - FAILED or EXPIRED and still has objects after slack and grace,
//   - deleted more than slack ago and still has objects.
//
// slack is how long a healthy workflow may take for its next step.
func (s *Store) Overdue(ctx context.Context, slack, grace time.Duration, after string, limit int) ([]Export, error) {
	var records []record
	err := s.db.SelectContext(ctx, &records, selectRecord+`WHERE purged_at IS NULL AND id > $3 AND (
			status IN ('PENDING', 'PROCESSING') AND `+dispatched+` AND updated_at < now() - $1 * interval '1 microsecond'
		OR status = 'READY' AND expires_at < now() - $1 * interval '1 microsecond'
		OR status IN ('FAILED', 'EXPIRED') AND updated_at < now() - ($1 + $2) * interval '1 microsecond'
		OR deleted_at < now() - $1 * interval '1 microsecond')
		ORDER BY id LIMIT $4`, slack.Microseconds(), grace.Microseconds(), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list overdue exports: %w", err)
	}
	return exportsOf(records)
}
