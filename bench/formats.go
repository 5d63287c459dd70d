package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"memexport/internal/service/format"
	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// formatRunner makes a file of one kind. Each call of measure makes it once.
type formatRunner struct {
	name    string
	measure func(context.Context) (sample, error)
	results samples
}

// formats compares the formats in time, size and RAM. It also compares parquet with the usual
// alternative: psql writes CSV, and DuckDB converts the CSV to Parquet. All of them alternate.
func (b *benchmark) formats(ctx context.Context) ([]measure.Table, error) {
	data := b.moderate()
	t := measure.Table{Title: "Formats: " + data.Name + ", each export with new processes",
		Head: []string{"Format", "READY after s", "ratio to json", "CPU s", "worker peak MiB", "MB", "download s"},
		Note: "The memories repeat some thousand texts, so real ones compress less."}
	c, err := b.Client(ctx, data)
	if err != nil {
		return nil, err
	}
	var runners []*formatRunner
	var json *formatRunner
	for _, f := range format.All {
		r := &formatRunner{name: f.Name, measure: func(ctx context.Context) (sample, error) {
			if err := b.Restart(ctx, 1); err != nil {
				return sample{}, err
			}
			m, _, err := b.measureWhole(ctx, c, data, f.Name)
			return m, err
		}}
		if f == format.JSON {
			json = r
		}
		runners = append(runners, r)
	}
	duckDB := &formatRunner{name: "psql to CSV, DuckDB to parquet", measure: func(ctx context.Context) (m sample, err error) {
		m.wall, m.bytes, err = b.convert(ctx, data)
		return m, err
	}}
	runners = append(runners, duckDB)
	for round := range b.rounds {
		for _, r := range turns(runners, round) {
			m, err := r.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			r.results = append(r.results, m)
		}
		say("formats: round %d of %d", round+1, b.rounds)
	}
	for _, r := range runners {
		cpu, peak, download := measure.Seconds(r.results.cpu()), measure.Mebibytes(r.results.peak()), measure.Seconds(r.results.download())
		if r == duckDB {
			cpu, peak, download = "-", "-", "-"
		}
		t.Add(r.name, measure.Seconds(r.results.wall()), r.results.ratioTo(json.results), cpu, peak, measure.Megabytes(r.results.bytes()), download)
	}
	giants := measure.Table{Title: "Formats: " + b.giantTexts().Name, Head: []string{"Format", "READY after s", "worker peak MiB", "MB"}}
	for _, f := range format.All {
		r, err := b.measureAlone(ctx, b.giantTexts(), f.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		giants.Add(f.Name, measure.Seconds(r.wall()), measure.Mebibytes(r.peak()), measure.Megabytes(r.bytes()))
	}
	return []measure.Table{t, giants}, nil
}

// convert writes a data set as CSV with psql, converts it to Parquet with DuckDB, and returns how long
// the two steps took together and the size of the Parquet file in bytes. It needs the packages that npm
// ci installs in tools/readers.
func (b *benchmark) convert(ctx context.Context, d benchstack.Dataset) (time.Duration, int64, error) {
	from, to := filepath.Join(b.WorkDir, "psql.csv"), filepath.Join(b.WorkDir, "duckdb.parquet")
	defer os.Remove(from)
	defer os.Remove(to)
	began := time.Now()
	if _, err := b.RunPsql(ctx, benchstack.CopyCSV(d, from), from); err != nil {
		return 0, 0, err
	}
	convert := exec.CommandContext(ctx, "node", "convert.mjs", from, to)
	convert.Dir = filepath.Join("tools", "readers")
	if out, err := convert.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("DuckDB, which npm ci in tools/readers installs: %w: %s", err, out)
	}
	wall := time.Since(began)
	info, err := os.Stat(to)
	if err != nil {
		return 0, 0, err
	}
	return wall, info.Size(), nil
}
