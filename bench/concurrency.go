package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// concurrency measures the worker's peak memory, and what it spends on collecting garbage, for several values
// of WORKER_CONCURRENCY.
func (b *benchmark) concurrency(ctx context.Context) ([]measure.Table, error) {
	data := benchstack.Distinct(b.batchMemories)
	t := measure.Table{Title: fmt.Sprintf("Concurrency: exports of %s at once, CSV", data.Name),
		Head: []string{"Exports, WORKER_CONCURRENCY", "median s", "worker CPU s", "collections", "their share of the CPU", "peak MiB"},
		Note: "The share is of the worker's processor time. It includes what the collector does on cores that would be idle otherwise."}
	c, single, err := b.exportOnce(ctx, data)
	if err != nil {
		return nil, err
	}
	ways := []struct{ exports, concurrency int }{{1, 8}, {b.crowd, 2}, {b.crowd, 8}, {b.crowd, 32}}
	results := make([]samples, len(ways))
	collections, shares := make([][]int, len(ways)), make([][]float64, len(ways))
	for round := range b.rounds {
		for i, way := range ways {
			if err := b.Restart(ctx, 1, allAtOnce, fmt.Sprintf("WORKER_CONCURRENCY=%d", way.concurrency), "GODEBUG=gctrace=1"); err != nil {
				return nil, err
			}
			collectionsBefore, collectingBefore := garbage(b.WorkerOutput())
			m, err := b.measureBatch(ctx, c, way.exports, single.SHA256)
			if err != nil {
				return nil, fmt.Errorf("with WORKER_CONCURRENCY=%d: %w", way.concurrency, err)
			}
			n, collecting := garbage(b.WorkerOutput())
			results[i] = append(results[i], m)
			collections[i] = append(collections[i], n-collectionsBefore)
			shares[i] = append(shares[i], 100*float64(collecting-collectingBefore)/float64(m.cpu))
			say("round %d of %d, %d exports, WORKER_CONCURRENCY=%d: %.2fs, %d collections, %s MiB", round+1, b.rounds, way.exports, way.concurrency,
				m.wall.Seconds(), n-collectionsBefore, measure.Mebibytes(m.peak))
		}
	}
	for i, way := range ways {
		t.Add(fmt.Sprintf("%d, %d", way.exports, way.concurrency), measure.Seconds(results[i].wall()), measure.Seconds(results[i].cpu()),
			measure.Median(collections[i]), measure.Fixed(measure.Median(shares[i]), 1)+"%", measure.Mebibytes(results[i].peak()))
	}
	return []measure.Table{t}, b.Restart(ctx, 1)
}

// collection matches what Go prints about a collection if GODEBUG has gctrace=1. The groups are processor
// times in milliseconds: pause, assists, background, idle cores, pause.
var collection = regexp.MustCompile(`(?m)^gc \d+ @.* clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu,`)

// garbage returns how many collections the output of a program reports, and their processor time.
func garbage(output string) (collections int, cpu time.Duration) {
	for _, match := range collection.FindAllStringSubmatch(output, -1) {
		collections++
		for _, text := range match[1:] {
			ms, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue // cannot happen: the expression matches only numbers
			}
			cpu += time.Duration(ms * float64(time.Millisecond))
		}
	}
	return collections, cpu
}
