package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// twoWorkers is whether a second worker process helps, and whether it changes the files.
func (s *stack) twoWorkers(ctx context.Context) ([]table, error) {
	data := distinct(s.batchMemories)
	t := table{title: fmt.Sprintf("Workers: %d exports of %s at once, CSV", s.batch, data.name),
		head: []string{"Workers", "median s", "ratio to one", "memories/s", "CPU s", "Postgres CPU s", "peak MiB of one"},
		note: "Every file had the SHA-256 of that of a single export."}
	c, err := s.clientOf(ctx, data)
	if err != nil {
		return nil, err
	}
	single, _, err := c.export(ctx, "csv")
	if err == nil && single.MemoryCount != data.memories {
		err = fmt.Errorf("export %s has %d memories instead of %d", single.ID, single.MemoryCount, data.memories)
	}
	if err != nil {
		return nil, err
	}
	if err := s.discard(ctx, c, single.ID); err != nil {
		return nil, err
	}
	results := map[int][]sample{}
	for round := range s.rounds {
		for _, workers := range []int{1, 2} {
			if err := s.restart(ctx, workers); err != nil {
				return nil, err
			}
			m, err := s.batchOf(ctx, c, single.SHA256)
			if err != nil {
				return nil, fmt.Errorf("with %d workers: %w", workers, err)
			}
			results[workers] = append(results[workers], m)
			say("round %d, %d workers: %.2fs", round+1, workers, m.wall.Seconds())
		}
	}
	for _, workers := range []int{1, 2} {
		samples := results[workers]
		took := median(pick(samples, wall))
		t.add(workers, seconds(took), spread(ratios(pick(samples, wall), pick(results[1], wall))), perSecond(float64(s.batch*data.memories), took),
			seconds(median(pick(samples, func(m sample) time.Duration { return m.cpu }))),
			seconds(median(pick(samples, func(m sample) time.Duration { return m.postgresCPU }))),
			mebibytes(slices.Max(pick(samples, func(m sample) int64 { return m.peak }))))
	}
	return []table{t}, s.restart(ctx, 1)
}

// batchOf measures exports that are created at once, from the first POST until all are READY.
func (s *stack) batchOf(ctx context.Context, c client, sum string) (sample, error) {
	var m sample
	var ids []string
	worker, server, began := s.workerCPU(), s.postgresCPU(), time.Now()
	for range s.batch {
		e, err := c.create(ctx, "csv")
		if err != nil {
			return m, err
		}
		ids = append(ids, e.ID)
	}
	for _, id := range ids {
		e, err := c.wait(ctx, id)
		if err != nil {
			return m, err
		}
		if e.SHA256 != sum {
			return m, fmt.Errorf("export %s has the SHA-256 %s instead of %s", id, e.SHA256, sum)
		}
		m.bytes += e.SizeBytes
	}
	m.wall, m.cpu, m.postgresCPU, m.peak = time.Since(began), s.workerCPU()-worker, s.postgresCPU()-server, s.workerPeak()
	return m, s.discard(ctx, c, ids...)
}
