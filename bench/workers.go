package main

import (
	"context"
	"fmt"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// allAtOnce removes the limit on how many exports of one workspace run at the same time.
const allAtOnce = "EXPORT_WORKSPACE_RUNNING=0"

// workers measures how much faster two worker processes are than one. It also checks that the files
// are the same.
func (b *benchmark) workers(ctx context.Context) ([]measure.Table, error) {
	data := benchstack.Distinct(b.batchMemories)
	t := measure.Table{Title: fmt.Sprintf("Workers: %d exports of %s at once, CSV", b.batch, data.Name),
		Head: []string{"Workers", "median s", "ratio to one", "memories/s", "CPU s", "Postgres CPU s", "peak MiB of one"},
		Note: "Every file had the SHA-256 of the file of a single export."}
	c, single, err := b.exportOnce(ctx, data)
	if err != nil {
		return nil, err
	}
	results := map[int]samples{}
	for round := range b.rounds {
		for _, workers := range []int{1, 2} {
			if err := b.Restart(ctx, workers, allAtOnce); err != nil {
				return nil, err
			}
			m, err := b.measureBatch(ctx, c, b.batch, single.SHA256)
			if err != nil {
				return nil, fmt.Errorf("with %d workers: %w", workers, err)
			}
			results[workers] = append(results[workers], m)
			say("round %d, %d workers: %.2fs", round+1, workers, m.wall.Seconds())
		}
	}
	for _, workers := range []int{1, 2} {
		r := results[workers]
		t.Add(workers, measure.Seconds(r.wall()), r.ratioTo(results[1]), measure.PerSecond(float64(b.batch*data.Memories), r.wall()),
			measure.Seconds(r.cpu()), measure.Seconds(r.postgresCPU()), measure.Mebibytes(r.peak()))
	}
	return []measure.Table{t}, b.Restart(ctx, 1)
}

// exportOnce exports a data set as CSV, and deletes the export. It returns the client and the export.
func (b *benchmark) exportOnce(ctx context.Context, d benchstack.Dataset) (benchstack.Client, benchstack.Export, error) {
	c, err := b.Client(ctx, d)
	if err != nil {
		return c, benchstack.Export{}, err
	}
	e, _, err := c.Export(ctx, "csv")
	if err == nil {
		err = e.CheckCount(d.Exported())
	}
	if err != nil {
		return c, e, err
	}
	return c, e, b.Discard(ctx, c, e.ID)
}

// measureBatch creates n exports at once. It measures from the first POST until all are
// READY.
func (b *benchmark) measureBatch(ctx context.Context, c benchstack.Client, n int, digest string) (sample, error) {
	var m sample
	var ids []string
	worker, server, began := b.WorkerCPU(), b.PostgresCPU(), time.Now()
	for range n {
		e, err := c.Create(ctx, "csv")
		if err != nil {
			return m, err
		}
		ids = append(ids, e.ID)
	}
	for _, id := range ids {
		e, err := c.Wait(ctx, id)
		if err != nil {
			return m, err
		}
		if err := e.CheckSHA256(digest); err != nil {
			return m, err
		}
		m.bytes += e.SizeBytes
	}
	m.wall, m.cpu, m.postgresCPU, m.peak = time.Since(began), b.WorkerCPU()-worker, b.PostgresCPU()-server, b.WorkerPeak()
	return m, b.Discard(ctx, c, ids...)
}
