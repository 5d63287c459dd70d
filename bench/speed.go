package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/dustin/go-humanize"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// speed compares exports in each format with psql.
func (b *benchmark) speed(ctx context.Context) ([]measure.Table, error) {
	times := measure.Table{Title: "Speed: an export against psql's \\copy of the same rows",
		Head: []string{"Memories, way", "median s", "in server s", "ratio to", "ratio", "target", "memories/s", "MB/s", "MB"},
		Note: "An export counts from the POST until a GET with `Prefer: wait=60` says READY: the file is durable, has checksums and was read back. " +
			"psql writes to the page cache. \"In server\" is created_at to completed_at, without the interval at which a waiting GET looks. " +
			"Every export had the right count and, in all rounds, the SHA-256 of a file that was compared with psql's: CSV and JSON value by value, Markdown by its headings."}
	costs := measure.Table{Title: "Speed: what it costs",
		Head: []string{"Memories, way", "CPU s", "Postgres CPU s", "peak MiB", "download s", "download MB/s", "API peak MiB"},
		Note: "CPU and peak are of the worker, or of psql. The download is by one HTTP client that discards it."}
	for _, n := range b.rows {
		r, err := b.newRace(ctx, benchstack.Distinct(n))
		if err != nil {
			return nil, err
		}
		if err := r.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.data.Name, err)
		}
		r.report(&times, &costs)
		plan, err := b.PsqlPlan(ctx, r.data)
		if err != nil {
			return nil, err
		}
		times.Note += fmt.Sprintf("\npsql's plan for %s: %s.", r.data.Name, plan)
	}
	return []measure.Table{times, costs}, nil
}

func (r *race) report(times, costs *measure.Table) {
	for _, runner := range runners {
		results := r.results[runner.name]
		ratio, target := "-", "-"
		if runner.against != "" {
			ratio, target = results.ratioTo(r.results[runner.against]), "<= "+runner.target
		}
		name := humanize.Comma(int64(r.data.Memories)) + ", " + runner.name
		megabytes := float64(results.bytes()) / 1e6
		times.Add(name, measure.Seconds(results.wall()), measure.Seconds(results.server()), cmp.Or(runner.against, "-"), ratio, target,
			measure.PerSecond(float64(r.data.Memories), results.wall()), measure.PerSecond(megabytes, results.wall()), measure.Megabytes(results.bytes()))
		costs.Add(name, measure.Seconds(results.cpu()), measure.Seconds(results.postgresCPU()), measure.Mebibytes(results.peak()),
			measure.Seconds(results.download()), measure.PerSecond(megabytes, results.download()), measure.Mebibytes(results.downloadPeak()))
	}
}
