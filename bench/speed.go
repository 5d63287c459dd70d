package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// sample is one measured run of psql or of an export.
type sample struct {
	wall         time.Duration // what the caller waits: for an export, from the POST to READY
	server       time.Duration // an export's created_at to completed_at
	cpu          time.Duration // of psql, or of the workers
	postgresCPU  time.Duration
	peak         int64 // memory of psql, or of the worker
	bytes        int64
	download     time.Duration
	downloadPeak int64 // memory of the API
}

// The runners of a race, with what each is compared to.
const (
	psqlCSV  = "psql CSV (a)"
	psqlJSON = "psql row_to_json (b)"
)

var runners = []struct {
	name, format, against, target string
}{
	{psqlCSV, "", "", ""},
	{"csv", "csv", psqlCSV, "0.75"},
	{psqlJSON, "", "", ""},
	{"json", "json", psqlJSON, "0.45"},
	{"markdown", "markdown", "json", "1.00"},
}

// speed lets psql and the exports of each format take turns.
func (s *stack) speed(ctx context.Context) ([]table, error) {
	main := table{title: "Speed: an export against psql's \\copy of the same rows",
		head: []string{"Memories, way", "median s", "in server s", "ratio to", "ratio", "target", "memories/s", "MB/s", "MB"},
		note: "An export counts from the POST until a GET with `Prefer: wait=60` says READY: durable, checksummed and read back. " +
			"psql writes to the page cache. \"In server\" is created_at to completed_at, without the interval at which a waiting GET looks. " +
			"Every export had the right count and, in all rounds, the SHA-256 of a file that was compared with psql's: CSV and JSON value by value, Markdown by its headings."}
	cost := table{title: "Speed: what it costs",
		head: []string{"Memories, way", "CPU s", "Postgres CPU s", "peak MiB", "download s", "download MB/s", "API peak MiB"},
		note: "CPU and peak are those of the worker, or of psql. The download is by one HTTP client that discards it."}
	for _, n := range s.rows {
		r, err := s.newRace(ctx, distinct(n))
		if err != nil {
			return nil, err
		}
		if err := r.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.data.name, err)
		}
		r.report(&main, &cost)
		plan, err := s.planOf(ctx, r.data.workspace())
		if err != nil {
			return nil, err
		}
		main.note += fmt.Sprintf("\npsql's plan for %s: %s.", r.data.name, plan)
	}
	return []table{main, cost}, nil
}

// race is the rounds of one size.
type race struct {
	*stack
	data    dataset
	client  client
	sums    map[string]string // the SHA-256 of each format's file, which has been compared
	samples map[string][]sample
}

func (s *stack) newRace(ctx context.Context, d dataset) (*race, error) {
	c, err := s.clientOf(ctx, d)
	return &race{stack: s, data: d, client: c, sums: map[string]string{}, samples: map[string][]sample{}}, err
}

func (r *race) run(ctx context.Context) error {
	if err := r.restart(ctx, 1); err != nil {
		return err
	}
	if err := r.rehearse(ctx); err != nil {
		return err
	}
	for round := range r.rounds {
		order := slices.Clone(runners)
		if round%2 == 1 {
			slices.Reverse(order) // so that nobody always comes after the same one
		}
		line := ""
		for _, runner := range order {
			m, err := r.measure(ctx, runner.name, runner.format)
			if err != nil {
				return fmt.Errorf("%s: %w", runner.name, err)
			}
			r.samples[runner.name] = append(r.samples[runner.name], m)
			line += fmt.Sprintf("  %s %.2fs", runner.name, m.wall.Seconds())
		}
		say("%s, round %d of %d:%s", r.data.name, round+1, r.rounds, line)
	}
	return nil
}

// rehearse runs everybody once without a clock, which fills the caches, and compares the files.
func (r *race) rehearse(ctx context.Context) error {
	say("%s: comparing the files with psql's", r.data.name)
	file := func(name string) string { return filepath.Join(r.work, name) }
	defer func() {
		for _, name := range []string{"psql.csv", "psql.json", "ours.csv", "ours.json", "ours.markdown"} {
			os.Remove(file(name))
		}
	}()
	if _, err := r.runPsql(ctx, copyCSV(r.data.workspace(), file("psql.csv")), file("psql.csv")); err != nil {
		return err
	}
	if _, err := r.runPsql(ctx, copyJSON(r.data.workspace(), file("psql.json")), file("psql.json")); err != nil {
		return err
	}
	comparisons := []struct {
		format, theirs string
		compare        func(ours, theirs io.Reader) (int, error)
	}{
		{"csv", "psql.csv", compareCSV},
		{"json", "psql.json", compareJSON},
		{"markdown", "psql.csv", compareMarkdown},
	}
	for _, c := range comparisons {
		e, _, err := r.client.export(ctx, c.format)
		if err != nil {
			return err
		}
		if err := r.keep(ctx, e, file("ours."+c.format)); err != nil {
			return err
		}
		n, err := compareFiles(file("ours."+c.format), file(c.theirs), c.compare)
		if err == nil && (n != r.data.memories || e.MemoryCount != n) {
			err = fmt.Errorf("the file has %d memories, the export says %d, and there are %d", n, e.MemoryCount, r.data.memories)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.format, err)
		}
		r.sums[c.format] = e.SHA256
		if err := r.discard(ctx, r.client, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// keep downloads the file of an export and checks its digest.
func (r *race) keep(ctx context.Context, e exported, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if err := r.client.download(ctx, e, io.MultiWriter(file, sum)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("the file of export %s has the SHA-256 %s instead of %s", e.ID, got, e.SHA256)
	}
	return file.Close()
}

// measure runs psql (no format) or an export once.
func (r *race) measure(ctx context.Context, name, format string) (sample, error) {
	syscall.Sync() // or this run would compete with what the one before has still to write
	if format == "" {
		path := filepath.Join(r.work, "psql.out")
		defer os.Remove(path)
		command := copyCSV(r.data.workspace(), path)
		if name == psqlJSON {
			command = copyJSON(r.data.workspace(), path)
		}
		return r.runPsql(ctx, command, path)
	}
	m, e, err := r.measureExport(ctx, r.client, format)
	if err != nil {
		return m, err
	}
	if e.MemoryCount != r.data.memories || e.SHA256 != r.sums[format] {
		return m, fmt.Errorf("export %s has %d memories and the SHA-256 %s: there were %d and %s",
			e.ID, e.MemoryCount, e.SHA256, r.data.memories, r.sums[format])
	}
	if m.download, m.downloadPeak, err = r.measureDownload(ctx, r.client, e); err != nil {
		return m, err
	}
	return m, r.discard(ctx, r.client, e.ID)
}

// measureExport measures an export, which is there afterwards.
func (s *stack) measureExport(ctx context.Context, c client, format string) (sample, exported, error) {
	if err := s.resetPeaks(ctx); err != nil {
		return sample{}, exported{}, err
	}
	worker, server := s.workerCPU(), s.postgresCPU()
	e, wall, err := c.export(ctx, format)
	return sample{wall: wall, server: e.inServer(), cpu: s.workerCPU() - worker, postgresCPU: s.postgresCPU() - server,
		peak: s.workerPeak(), bytes: e.SizeBytes}, e, err
}

// measureDownload measures a download and the API's memory meanwhile.
func (s *stack) measureDownload(ctx context.Context, c client, e exported) (took time.Duration, peak int64, err error) {
	resetPeak(s.api.pid())
	began := time.Now()
	err = c.download(ctx, e, io.Discard)
	return time.Since(began), peakMemory(s.api.pid()), err
}

func wall(m sample) time.Duration { return m.wall }

func (r *race) report(main, cost *table) {
	for _, runner := range runners {
		samples := r.samples[runner.name]
		took, bytes := median(pick(samples, wall)), median(pick(samples, func(m sample) int64 { return m.bytes }))
		ratio := "-"
		if runner.against != "" {
			ratio = spread(ratios(pick(samples, wall), pick(r.samples[runner.against], wall)))
		}
		target := "-"
		if runner.target != "" {
			target = "<= " + runner.target
		}
		name := grouped(r.data.memories) + ", " + runner.name
		main.add(name, seconds(took), seconds(median(pick(samples, func(m sample) time.Duration { return m.server }))),
			orDash(runner.against), ratio, target, perSecond(float64(r.data.memories), took), perSecond(float64(bytes)/1e6, took), megabytes(bytes))
		download := median(pick(samples, func(m sample) time.Duration { return m.download }))
		rate := "-"
		if download > 0 {
			rate = perSecond(float64(bytes)/1e6, download)
		}
		cost.add(name, seconds(median(pick(samples, func(m sample) time.Duration { return m.cpu }))),
			seconds(median(pick(samples, func(m sample) time.Duration { return m.postgresCPU }))),
			mebibytes(slices.Max(pick(samples, func(m sample) int64 { return m.peak }))), seconds(download), rate,
			mebibytes(slices.Max(pick(samples, func(m sample) int64 { return m.downloadPeak }))))
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// compareFiles opens two files and compares what is in them.
func compareFiles(ours, theirs string, compare func(ours, theirs io.Reader) (int, error)) (n int, err error) {
	a, err := os.Open(ours)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	b, err := os.Open(theirs)
	if err != nil {
		return 0, errors.Join(err, a.Close())
	}
	defer b.Close()
	return compare(a, b)
}
