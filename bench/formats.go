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

// formats compares the formats in time, size and RAM. It also compares parquet with the usual
// alternative: psql writes CSV, and DuckDB converts the CSV to Parquet.
func (b *benchmark) formats(ctx context.Context) ([]measure.Table, error) {
	data := b.moderate()
	t := measure.Table{Title: "Formats: " + data.Name + ", each with new processes",
		Head: []string{"Format", "READY after s", "ratio to json", "CPU s", "worker peak MiB", "MB", "download s"},
		Note: "The memories repeat some thousand texts, so real ones compress less."}
	giants := measure.Table{Title: "Formats: " + b.giantTexts().Name, Head: []string{"Format", "READY after s", "worker peak MiB", "MB"}}
	var json samples
	for _, f := range format.All {
		r, err := b.measureAlone(ctx, data, f.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if f == format.JSON {
			json = r
		}
		t.Add(f.Name, measure.Seconds(r.wall()), r.ratioTo(json), measure.Seconds(r.cpu()), measure.Mebibytes(r.peak()),
			measure.Megabytes(r.bytes()), measure.Seconds(r.download()))
		if r, err = b.measureAlone(ctx, b.giantTexts(), f.Name); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		giants.Add(f.Name, measure.Seconds(r.wall()), measure.Mebibytes(r.peak()), measure.Megabytes(r.bytes()))
	}
	var walls []time.Duration
	var size int64
	for range b.rounds {
		wall, bytes, err := b.convert(ctx, data)
		if err != nil {
			return nil, err
		}
		walls, size = append(walls, wall), bytes
	}
	t.Add("psql to CSV, DuckDB to parquet", measure.Seconds(measure.Median(walls)), "-", "-", "-", measure.Megabytes(size), "-")
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
