package main

import (
	"context"
	"fmt"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// longDatasets returns the data sets of long: many memories, and very many.
func (o *options) longDatasets() []benchstack.Dataset {
	return []benchstack.Dataset{benchstack.Short(o.longBase), benchstack.Short(o.longRows)}
}

// long compares an export of very many memories with an export of a million.
func (b *benchmark) long(ctx context.Context) ([]measure.Table, error) {
	t := measure.Table{Title: "Scale: one export of very many short memories, CSV",
		Head: []string{"Data", "median s", "µs/memory", "worker CPU s", "Postgres CPU s", "worker peak MiB", "API peak MiB", "MB", "download s"}}
	sets := b.longDatasets()
	results := make([]samples, len(sets))
	if err := b.Restart(ctx, 1); err != nil {
		return nil, err
	}
	for round := range b.rounds {
		for i, d := range sets {
			c, err := b.Client(ctx, d)
			if err != nil {
				return nil, err
			}
			m, _, err := b.measureWhole(ctx, c, d, "csv")
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], m)
			say("%s, round %d of %d: %.2fs, peak %s MiB", d.Name, round+1, b.rounds, m.wall.Seconds(), measure.Mebibytes(m.peak))
		}
	}
	for i, d := range sets {
		r := results[i]
		t.Add(d.Name, measure.Seconds(r.wall()), perMemory(r.wall(), d.Memories), measure.Seconds(r.cpu()), measure.Seconds(r.postgresCPU()),
			measure.Mebibytes(r.peak()), measure.Mebibytes(r.downloadPeak()), measure.Megabytes(r.bytes()), measure.Seconds(r.download()))
	}
	further := sets[1].Memories - sets[0].Memories
	t.Note = fmt.Sprintf("Each further memory takes %s µs. The worker's peak differs by %+.0f MiB.",
		perMemory(results[1].wall()-results[0].wall(), further), float64(results[1].peak()-results[0].peak())/(1<<20))
	size, err := b.tableSize(ctx)
	t.Note += size
	return []measure.Table{t}, err
}

func perMemory(d time.Duration, memories int) string {
	return measure.Fixed(float64(d)/float64(time.Microsecond)/float64(memories), 2)
}

// tableSize says how many bytes Postgres needs for a memory, over all data sets.
func (b *benchmark) tableSize(ctx context.Context) (string, error) {
	var size struct {
		Rows           int64
		Table, Indexes int64
	}
	err := b.DB.GetContext(ctx, &size, `SELECT reltuples::bigint AS rows, pg_table_size(oid) AS table, pg_indexes_size(oid) AS indexes
		FROM pg_class WHERE oid = 'public.memories'::regclass`)
	if err != nil || size.Rows <= 0 {
		return "", err
	}
	return fmt.Sprintf("\nAll memories of the benchmark have %d bytes each in the table, and %d in its three indexes.", size.Table/size.Rows, size.Indexes/size.Rows), nil
}
