package export

import (
	"context"
	"fmt"
	"time"
)

// Open returns up to limit exports that still have something to be done although it is overdue,
// the longest untouched first: a PENDING one whose workflow may never have started, a PROCESSING
// one of unknown health, and whatever should have expired or been purged by now. Slack is how long
// a healthy workflow may take for a step.
func (s *Store) Open(ctx context.Context, slack, grace time.Duration, limit int) ([]Export, error) {
	var records []record
	err := s.db.SelectContext(ctx, &records, selectRecord+`WHERE purged_at IS NULL AND (
			status IN ('PENDING', 'PROCESSING') AND updated_at < now() - $1 * interval '1 microsecond'
		OR status = 'READY' AND expires_at < now() - $1 * interval '1 microsecond'
		OR status IN ('FAILED', 'EXPIRED') AND updated_at < now() - ($1 + $2) * interval '1 microsecond'
		OR deleted_at < now() - $1 * interval '1 microsecond')
		ORDER BY updated_at LIMIT $3`, slack.Microseconds(), grace.Microseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("list open exports: %w", err)
	}
	return exportsOf(records)
}
