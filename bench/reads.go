package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
	"memexport/internal/workshop/process"
)

// listed is how many exports the list contains, which is the default page size.
const listed = 20

// crowd is how many clients download at the same time.
const crowd = 20

// readRequests measures requests that read: statuses and lists from the database, and files.
func (b *benchmark) readRequests(ctx context.Context) ([]measure.Table, error) {
	if err := b.Restart(ctx, 1); err != nil {
		return nil, err
	}
	rows, err := b.readRows(ctx)
	if err != nil {
		return nil, err
	}
	files, err := b.readFiles(ctx)
	return []measure.Table{rows, files}, err
}

// readRows measures how many requests for a status and for a list the API answers per second.
func (b *benchmark) readRows(ctx context.Context) (measure.Table, error) {
	t := measure.Table{Title: fmt.Sprintf("Reads: status and list of %d, %d clients", listed, clients),
		Head: []string{"Request, while", "requests/s", "p50 ms", "p99 ms"}}
	c, err := b.Client(ctx, benchstack.Tiny)
	if err != nil {
		return t, err
	}
	var ids []string
	for range listed {
		e, _, err := c.Export(ctx, "json")
		if err != nil {
			return t, err
		}
		ids = append(ids, e.ID)
	}
	add := func(while string) error {
		for _, request := range []struct{ name, path string }{
			{"status", "/v1/exports/" + ids[0]},
			{"list", fmt.Sprintf("/v1/exports?page_size=%d", listed)},
		} {
			calls, took, err := load(ctx, b.reads, func(ctx context.Context) error { return c.Read(ctx, request.path) })
			if err != nil {
				return err
			}
			rate := measure.PerSecond(float64(len(calls)), took)
			t.Add(request.name+", "+while, rate, measure.Millis(measure.Percentile(calls, 50)), measure.Millis(measure.Percentile(calls, 99)))
			say("%s, %s: %s/s", request.name, while, rate)
		}
		return nil
	}
	if err := add("nothing else runs"); err != nil {
		return t, err
	}
	large := b.largest()
	completed, err := b.withBackground(ctx, large, func() error { return add(large.Name + " are exported in a loop") })
	if err != nil {
		return t, err
	}
	t.Note = fmt.Sprintf("Meanwhile %d large exports were completed.", completed)
	return t, b.Discard(ctx, c, ids...)
}

// readFiles compares downloading a file with copying the same file with cp.
func (b *benchmark) readFiles(ctx context.Context) (measure.Table, error) {
	t := measure.Table{Title: "Reads: download of the largest size, CSV", Head: []string{"Way", "median s a file", "MB/s", "ratio to cp", "API CPU s a file"},
		Note: "`cp` reads one file from the page cache and writes another there; on a file system with reflinks it copies nothing. " +
			"A download by curl writes a file, too."}
	c, err := b.Client(ctx, b.largest())
	if err != nil {
		return t, err
	}
	e, _, err := c.Export(ctx, "csv")
	if err != nil {
		return t, err
	}
	file, copied := filepath.Join(b.WorkDir, "download.csv"), filepath.Join(b.WorkDir, "copy.csv")
	defer os.Remove(file)
	defer os.Remove(copied)
	type way struct {
		name  string
		files int // how many files it downloads
		run   func() error
	}
	toFile := way{"curl, to a file", 1, func() error {
		return command(ctx, "curl", "-sSf", "-H", "X-Api-Key: "+c.Key, "-o", file, c.DownloadURL(e))
	}}
	if _, err := exec.LookPath("curl"); err != nil {
		say("curl is not installed: the Go client takes its place")
		toFile = way{"Go client, to a file", 1, func() error {
			out, err := os.Create(file)
			if err != nil {
				return err
			}
			defer out.Close()
			return c.Download(ctx, e, out)
		}}
	}
	ways := []way{
		{"Go client, discarded", 1, func() error { _, _, err := b.measureDownload(ctx, c, e); return err }},
		{fmt.Sprintf("%d Go clients at once, discarded", crowd), crowd, func() error {
			group, groupCtx := errgroup.WithContext(ctx)
			for range crowd {
				group.Go(func() error { return c.Download(groupCtx, e, io.Discard) })
			}
			return group.Wait()
		}},
		toFile,
		{"cp", 1, func() error { return command(ctx, "cp", file, copied) }},
	}
	took, apiCPU := make([][]time.Duration, len(ways)), make([][]time.Duration, len(ways))
	for range b.rounds {
		os.Remove(file)
		os.Remove(copied)
		for i, way := range ways {
			syscall.Sync()
			began, used := time.Now(), measure.CPUTime(b.APIPID())
			if err := way.run(); err != nil {
				return t, fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], time.Since(began)/time.Duration(way.files))
			apiCPU[i] = append(apiCPU[i], (measure.CPUTime(b.APIPID())-used)/time.Duration(way.files))
		}
		info, err := os.Stat(file)
		if err != nil {
			return t, err
		}
		if info.Size() != e.SizeBytes {
			return t, fmt.Errorf("the downloaded file has %d bytes instead of %d", info.Size(), e.SizeBytes)
		}
	}
	for i, way := range ways {
		median := measure.Median(took[i])
		t.Add(way.name, measure.Seconds(median), measure.PerSecond(float64(e.SizeBytes)/1e6, median), measure.Spread(measure.Ratios(took[i], took[len(ways)-1])),
			measure.Seconds(measure.Median(apiCPU[i])))
	}
	return t, b.Discard(ctx, c, e.ID)
}

func command(ctx context.Context, name string, args ...string) error {
	_, err := process.Run(ctx, exec.Command(name, args...), process.RunOptions{})
	return err
}
