package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/compare"
)

// psqlCSV and psqlJSON are the names of the two runners that use psql.
const (
	psqlCSV  = "psql CSV (a)"
	psqlJSON = "psql row_to_json (b)"
)

// runner is a way to write the memories of a workspace to a file: an export or psql.
type runner struct {
	name    string
	format  string // the format of the export; "" for psql
	against string // the name of the runner that it is compared with
	target  string // the ratio to that runner that we want to reach
}

var runners = []runner{
	{name: psqlCSV},
	{name: "csv", format: "csv", against: psqlCSV, target: "0.75"},
	{name: psqlJSON},
	{name: "json", format: "json", against: psqlJSON, target: "0.45"},
	{name: "markdown", format: "markdown", against: "json", target: "1.00"},
}

// race measures all runners on one data set. In every round each runner runs once.
type race struct {
	*benchmark
	data    benchstack.Dataset
	runners []runner
	client  benchstack.Client
	digests map[string]string  // by format: the SHA-256 of an export that was compared with psql's file
	results map[string]samples // by the name of the runner
}

func (b *benchmark) newRace(ctx context.Context, d benchstack.Dataset) (*race, error) {
	c, err := b.Client(ctx, d)
	return &race{benchmark: b, data: d, runners: runners, client: c, digests: map[string]string{}, results: map[string]samples{}}, err
}

// run prepares the race and measures all rounds.
func (r *race) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	return r.repeat(ctx)
}

// prepare restarts the API and the worker, and runs every runner once.
func (r *race) prepare(ctx context.Context) error {
	if err := r.Restart(ctx, 1, r.data.Environment()...); err != nil {
		return err
	}
	return r.rehearse(ctx)
}

// repeat measures all rounds.
func (r *race) repeat(ctx context.Context) error {
	for round := range r.rounds {
		line := ""
		for _, candidate := range turns(r.runners, round) {
			m, err := r.measure(ctx, candidate)
			if err != nil {
				return fmt.Errorf("%s: %w", candidate.name, err)
			}
			r.results[candidate.name] = append(r.results[candidate.name], m)
			line += fmt.Sprintf("  %s %.2fs", candidate.name, m.wall.Seconds())
		}
		say("%s, round %d of %d:%s", r.data.Name, round+1, r.rounds, line)
	}
	return nil
}

// rehearse runs every runner once without measuring it, to fill the caches. It also compares the
// files of the exports with psql's files.
func (r *race) rehearse(ctx context.Context) error {
	say("%s: comparing the files with psql's", r.data.Name)
	file := func(name string) string { return filepath.Join(r.WorkDir, name) }
	defer func() {
		for _, name := range []string{"psql.csv", "psql.json", "ours.csv", "ours.json", "ours.markdown"} {
			os.Remove(file(name))
		}
	}()
	if _, err := r.RunPsql(ctx, benchstack.CopyCSV(r.data, file("psql.csv")), file("psql.csv")); err != nil {
		return err
	}
	if _, err := r.RunPsql(ctx, benchstack.CopyJSON(r.data, file("psql.json")), file("psql.json")); err != nil {
		return err
	}
	for _, c := range []struct {
		format, psqls string
		compare       compare.Func
	}{
		{"csv", "psql.csv", compare.CSV},
		{"json", "psql.json", compare.JSON},
		{"markdown", "psql.csv", compare.Markdown},
	} {
		if !slices.ContainsFunc(r.runners, func(own runner) bool { return own.format == c.format }) {
			continue
		}
		e, _, err := r.client.Export(ctx, c.format)
		if err != nil {
			return err
		}
		if err := r.save(ctx, e, file("ours."+c.format)); err != nil {
			return err
		}
		n, err := compare.Files(file("ours."+c.format), file(c.psqls), c.compare)
		if err == nil && (n != r.data.Exported() || e.MemoryCount != n) {
			err = fmt.Errorf("the file has %d memories, the export says %d, and there are %d", n, e.MemoryCount, r.data.Exported())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.format, err)
		}
		r.digests[c.format] = e.SHA256
		if err := r.Discard(ctx, r.client, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// save downloads the file of an export and verifies its digest.
func (r *race) save(ctx context.Context, e benchstack.Export, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	digest := sha256.New()
	if err := r.client.Download(ctx, e, io.MultiWriter(file, digest)); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("the file of export %s has the SHA-256 %s instead of %s", e.ID, got, e.SHA256)
	}
	return file.Close()
}

// measure runs a runner once and returns the measurements.
func (r *race) measure(ctx context.Context, candidate runner) (sample, error) {
	if candidate.format == "" {
		return r.measurePsql(ctx, candidate)
	}
	return r.measureSame(ctx, candidate.format)
}

// measureSame measures an export and its download. The file must have the digest of an earlier one.
func (r *race) measureSame(ctx context.Context, format string) (sample, error) {
	m, e, err := r.measureWhole(ctx, r.client, r.data, format)
	if err == nil {
		err = e.CheckSHA256(r.digests[format])
	}
	return m, err
}

func (r *race) measurePsql(ctx context.Context, candidate runner) (sample, error) {
	syscall.Sync() // otherwise the kernel might still write the previous runner's file during this run
	path := filepath.Join(r.WorkDir, "psql.out")
	defer os.Remove(path)
	command := benchstack.CopyCSV(r.data, path)
	if candidate.name == psqlJSON {
		command = benchstack.CopyJSON(r.data, path)
	}
	run, err := r.RunPsql(ctx, command, path)
	return sample{wall: run.Wall, cpu: run.CPU, postgresCPU: run.PostgresCPU, allCPU: run.CPU + run.PostgresCPU, peak: run.Peak, bytes: run.Bytes}, err
}
