package benchstack

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jmoiron/sqlx"
)

// TinyOf returns the tiny data set of the i-th of many workspaces.
func TinyOf(i int) Dataset {
	d := Distinct(Tiny.Memories)
	d.Name = fmt.Sprintf("%s of workspace %d", d.Name, i)
	return d
}

// Short returns a data set of n memories that are as short as memories can reasonably be, so that tens of
// millions of them fit on a small disk. Their ids are in the order of created_at, as UUIDs of version 7 are.
func Short(n int) Dataset {
	return Dataset{Name: humanize.Comma(int64(n)) + " short memories", Memories: n, insert: func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error {
		const step = 500_000
		told := time.Now()
		for first := 0; first < n; first += step {
			// Each id begins with half of the workspace's id, because ids must be unique in the table.
			_, err := tx.ExecContext(ctx, `INSERT INTO memories (id, memory, priority, status, workspace_id, created_at, updated_at)
				SELECT (left($1::text, 18) || '-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'Likes tea, no. ' || i, 'LOW', 'COMPLETED', $1::text::uuid,
					timestamptz '2025-01-01 00:00:00Z' + i * interval '1 second', timestamptz '2026-01-01 00:00:00Z'
				FROM generate_series($2::int, $3::int) i`, o.workspace, first+1, min(first+step, n))
			if err != nil {
				return err
			}
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				o.log("  %s of %s", humanize.Comma(int64(min(first+step, n))), humanize.Comma(int64(n)))
			}
		}
		return nil
	}}
}
