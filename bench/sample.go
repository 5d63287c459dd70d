package main

import (
	"context"
	"io"
	"slices"
	"syscall"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// sample is one measured run of psql or of an export.
type sample struct {
	wall         time.Duration // how long the caller waits; for an export, from the POST to READY
	server       time.Duration // from created_at to completed_at of an export
	cpu          time.Duration // processor time of psql or of the workers
	postgresCPU  time.Duration
	allCPU       time.Duration // processor time of all processes: Postgres, and psql or the whole product
	peak         int64         // peak memory of psql or of the worker, in bytes
	bytes        int64         // size of the file
	download     time.Duration
	downloadPeak int64 // peak memory of the API during the download, in bytes
}

// turns returns runners in the order in which they run in a round. The order is reversed in every second round,
// so that a runner does not always run after the same runner.
func turns[T any](runners []T, round int) []T {
	order := slices.Clone(runners)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// samples are the measurements of one runner, one per round.
type samples []sample

func (s samples) walls() []time.Duration {
	return measure.Pick(s, func(m sample) time.Duration { return m.wall })
}

func (s samples) wall() time.Duration { return measure.Median(s.walls()) }

func (s samples) server() time.Duration {
	return measure.Median(measure.Pick(s, func(m sample) time.Duration { return m.server }))
}

func (s samples) cpus() []time.Duration {
	return measure.Pick(s, func(m sample) time.Duration { return m.cpu })
}

func (s samples) cpu() time.Duration { return measure.Median(s.cpus()) }

func (s samples) medianPeak() int64 {
	return measure.Median(measure.Pick(s, func(m sample) int64 { return m.peak }))
}

func (s samples) postgresCPUs() []time.Duration {
	return measure.Pick(s, func(m sample) time.Duration { return m.postgresCPU })
}

func (s samples) postgresCPU() time.Duration { return measure.Median(s.postgresCPUs()) }

func (s samples) allCPUs() []time.Duration {
	return measure.Pick(s, func(m sample) time.Duration { return m.allCPU })
}

func (s samples) bytes() int64 {
	return measure.Median(measure.Pick(s, func(m sample) int64 { return m.bytes }))
}

func (s samples) download() time.Duration {
	return measure.Median(measure.Pick(s, func(m sample) time.Duration { return m.download }))
}

// peak and downloadPeak return the maximum over all rounds, because they show how much memory a
// process can need. The other methods return the median.

func (s samples) peak() int64 {
	return slices.Max(measure.Pick(s, func(m sample) int64 { return m.peak }))
}

func (s samples) downloadPeak() int64 {
	return slices.Max(measure.Pick(s, func(m sample) int64 { return m.downloadPeak }))
}

// ratioTo formats the ratio of the times to another runner's times, round by round.
func (s samples) ratioTo(other samples) string {
	return measure.Spread(measure.Ratios(s.walls(), other.walls()))
}

// measureExport creates an export and measures it. The caller must delete the export.
func (b *benchmark) measureExport(ctx context.Context, c benchstack.Client, format string) (sample, benchstack.Export, error) {
	if err := b.ResetPeaks(ctx); err != nil {
		return sample{}, benchstack.Export{}, err
	}
	before := b.CPU()
	e, wall, err := c.Export(ctx, format)
	used := b.CPU().Minus(before)
	return sample{wall: wall, server: e.InServer(), cpu: used.Workers, postgresCPU: used.Postgres, allCPU: used.All(),
		peak: b.WorkerPeak(), bytes: e.SizeBytes}, e, err
}

// measureWhole measures an export of a data set and its download, checks the number of memories, and deletes
// the export.
func (b *benchmark) measureWhole(ctx context.Context, c benchstack.Client, d benchstack.Dataset, format string) (sample, benchstack.Export, error) {
	syscall.Sync() // otherwise the kernel might still write an earlier file during this export
	m, e, err := b.measureExport(ctx, c, format)
	if err == nil {
		err = e.CheckCount(d.Exported())
	}
	if err != nil {
		return m, e, err
	}
	if m.download, m.downloadPeak, err = b.measureDownload(ctx, c, e); err != nil {
		return m, e, err
	}
	return m, e, b.Discard(ctx, c, e.ID)
}

// measureDownload downloads a file and returns the time and the API's peak memory during the
// download.
func (b *benchmark) measureDownload(ctx context.Context, c benchstack.Client, e benchstack.Export) (took time.Duration, peak int64, err error) {
	b.ResetAPIPeak()
	began := time.Now()
	err = c.Download(ctx, e, io.Discard)
	return time.Since(began), b.APIPeak(), err
}
