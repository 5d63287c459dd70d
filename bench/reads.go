package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// listed is how many exports there are to list: a full page.
const listed = 20

// reads is about requests that only read: of rows, and of files.
func (s *stack) reads(ctx context.Context) ([]table, error) {
	if err := s.restart(ctx, 1); err != nil {
		return nil, err
	}
	rows, err := s.readRows(ctx)
	if err != nil {
		return nil, err
	}
	files, err := s.readFiles(ctx)
	return []table{rows, files}, err
}

// readRows is how many requests for the status and for the list are answered in a second.
func (s *stack) readRows(ctx context.Context) (table, error) {
	t := table{title: fmt.Sprintf("Reads: status and list of %d, %d clients", listed, clients),
		head: []string{"Request, while", "requests/s", "p50 ms", "p99 ms"}}
	c, err := s.clientOf(ctx, tiny)
	if err != nil {
		return t, err
	}
	var ids []string
	for range listed {
		e, _, err := c.export(ctx, "json")
		if err != nil {
			return t, err
		}
		ids = append(ids, e.ID)
	}
	measure := func(while string) error {
		for _, request := range []struct{ name, path string }{
			{"status", "/v1/exports/" + ids[0]},
			{"list", fmt.Sprintf("/v1/exports?page_size=%d", listed)},
		} {
			calls, took, err := load(ctx, s.options.reads, func(ctx context.Context) error {
				return c.call(ctx, http.MethodGet, request.path, "", nil)
			})
			if err != nil {
				return err
			}
			t.add(request.name+", "+while, perSecond(float64(len(calls)), took), millis(percentile(calls, 50)), millis(percentile(calls, 99)))
			say("%s, %s: %s/s", request.name, while, perSecond(float64(len(calls)), took))
		}
		return nil
	}
	if err := measure("nothing else runs"); err != nil {
		return t, err
	}
	large := s.largest()
	completed, err := s.withBackground(ctx, large, func() error { return measure(large.name + " are exported in a loop") })
	if err != nil {
		return t, err
	}
	t.note = fmt.Sprintf("Meanwhile %d large exports were completed.", completed)
	return t, s.discard(ctx, c, ids...)
}

// readFiles compares downloads with cp of the same file.
func (s *stack) readFiles(ctx context.Context) (table, error) {
	t := table{title: "Reads: download of the largest size, CSV", head: []string{"Way", "median s", "MB/s", "ratio to cp"},
		note: "`cp` reads one file from the page cache and writes another there; on a file system with reflinks it copies nothing. " +
			"A download of curl writes a file, too."}
	c, err := s.clientOf(ctx, s.largest())
	if err != nil {
		return t, err
	}
	e, _, err := c.export(ctx, "csv")
	if err != nil {
		return t, err
	}
	file, copied := filepath.Join(s.work, "download.csv"), filepath.Join(s.work, "copy.csv")
	defer os.Remove(file)
	defer os.Remove(copied)
	ways := []struct {
		name string
		run  func() error
	}{
		{"Go client, discarded", func() error { _, _, err := s.measureDownload(ctx, c, e); return err }},
		{"curl, to a file", func() error {
			return command(ctx, "curl", "-sSf", "-H", "X-Api-Key: "+c.key, "-o", file, c.base+"/v1/exports/"+e.ID+"/download")
		}},
		{"cp", func() error { return command(ctx, "cp", file, copied) }},
	}
	if _, err := exec.LookPath("curl"); err != nil {
		say("there is no curl: the Go client stands in for it")
		ways[1].name = "Go client, to a file"
		ways[1].run = func() error {
			out, err := os.Create(file)
			if err != nil {
				return err
			}
			defer out.Close()
			return c.download(ctx, e, out)
		}
	}
	took := make([][]time.Duration, len(ways))
	for range s.rounds {
		os.Remove(file)
		os.Remove(copied)
		for i, way := range ways {
			syscall.Sync()
			began := time.Now()
			if err := way.run(); err != nil {
				return t, fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], time.Since(began))
		}
		if info, err := os.Stat(file); err != nil || info.Size() != e.SizeBytes {
			return t, fmt.Errorf("the downloaded file is not one of %d bytes: %v", e.SizeBytes, err)
		}
	}
	for i, way := range ways {
		t.add(way.name, seconds(median(took[i])), perSecond(float64(e.SizeBytes)/1e6, median(took[i])), spread(ratios(took[i], took[len(ways)-1])))
	}
	return t, s.discard(ctx, c, e.ID)
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
