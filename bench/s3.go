package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/compare"
	"memexport/internal/workshop/measure"
)

// s3Way is a way to store the memories of a workspace: an export to a directory or to S3, or psql, whose
// output is piped into an upload to S3.
type s3Way struct {
	name   string
	format string
	pipe   bool
	dir    bool // an export to the directory, not to S3
	gzip   bool

	against []string // the ways that it is compared with
	results samples
	storeCPU
}

// storeCPU is the processor time of the S3 server in each round.
type storeCPU []time.Duration

func s3Ways() []*s3Way {
	return []*s3Way{
		{name: "csv, directory", format: "csv", dir: true},
		{name: "json, directory", format: "json", dir: true},
		{name: "csv, S3", format: "csv", against: []string{"csv, directory", "psql CSV | upload"}},
		{name: "json, S3", format: "json", against: []string{"json, directory", "psql row_to_json | upload"}},
		{name: "csv, S3, EXPORT_COMPRESSION=gzip", format: "csv", gzip: true, against: []string{"csv, directory", "psql CSV | gzip | upload"}},
		{name: "psql CSV | upload", format: "csv", pipe: true},
		{name: "psql CSV | gzip | upload", format: "csv", pipe: true, gzip: true},
		{name: "psql row_to_json | upload", format: "json", pipe: true},
	}
}

// s3 compares exports to an S3 server with exports to a directory, and with psql whose output is piped into
// an upload to the same server. It also counts requests.
func (b *benchmark) s3(ctx context.Context) ([]measure.Table, error) {
	r, err := b.newRace(ctx, b.moderate())
	if err != nil {
		return nil, err
	}
	if err := r.rehearse(ctx); err != nil {
		return nil, err
	}
	if err := r.comparePipes(ctx); err != nil {
		return nil, err
	}
	ways := s3Ways()
	for round := range r.rounds {
		settings := "" // of the running processes
		line := ""
		for _, way := range turns(ways, round) {
			if err := r.measureS3(ctx, way, &settings); err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			line += fmt.Sprintf("  %s %.2fs", way.name, way.results[round].wall.Seconds())
		}
		say("S3, round %d of %d:%s", round+1, r.rounds, line)
	}
	t := measure.Table{Title: "S3: " + r.data.Name + ", from POST to READY",
		Head: []string{"Way", "median s", "ratio", "ratio to the pipe", "CPU s", "Postgres CPU s", "S3 server CPU s", "peak MiB", "MB", "download s"},
		Note: "The first ratio is the one to the directory. CPU and peak are of the worker; for a pipe, CPU is of psql, gzip and the upload, and peak is of the upload. " +
			"A download is read and discarded. Every export had the SHA-256 of a file that was compared with psql's, and so were the objects of the pipes."}
	byName := map[string]*s3Way{}
	for _, way := range ways {
		byName[way.name] = way
	}
	for _, way := range ways {
		ratios := []any{"-", "-"}
		for i, other := range way.against {
			ratios[i] = way.results.ratioTo(byName[other].results)
		}
		t.Add(way.name, measure.Seconds(way.results.wall()), ratios[0], ratios[1], measure.Seconds(way.results.cpu()), measure.Seconds(way.results.postgresCPU()),
			measure.Seconds(measure.Median(way.storeCPU)), measure.Mebibytes(way.results.peak()), measure.Megabytes(way.results.bytes()), measure.Seconds(way.results.download()))
	}
	requests, err := r.s3Requests(ctx)
	return []measure.Table{t, requests}, errors.Join(err, b.Restart(ctx, 1))
}

// measureS3 measures a way once and adds the result to it. It restarts the processes if their settings
// differ from those that the way needs.
func (r *race) measureS3(ctx context.Context, way *s3Way, settings *string) error {
	if !way.pipe {
		needed, env := "S3", r.S3.Settings(r.S3.Address())
		if way.gzip {
			needed, env = "gzip", append(env, "EXPORT_COMPRESSION=gzip")
		}
		if way.dir {
			needed, env = "directory", nil
		}
		if *settings != needed {
			if err := r.Restart(ctx, 1, env...); err != nil {
				return err
			}
			*settings = needed
		}
	}
	syscall.Sync() // otherwise the kernel might still write the previous way's objects during this one
	store := r.S3.CPU()
	if way.pipe {
		run, err := r.RunPipe(ctx, psqlToStdout(r.data, way.format), pipedObject, way.gzip)
		if err != nil {
			return err
		}
		way.storeCPU = append(way.storeCPU, r.S3.CPU()-store)
		if run.Bytes, err = r.S3.Delete(ctx, pipedObject); err != nil {
			return err
		}
		way.results = append(way.results, sample{wall: run.Wall, cpu: run.CPU, postgresCPU: run.PostgresCPU, peak: run.Peak, bytes: run.Bytes})
		return nil
	}
	m, e, err := r.measureExport(ctx, r.client, way.format)
	if err != nil {
		return err
	}
	way.storeCPU = append(way.storeCPU, r.S3.CPU()-store)
	if err := errors.Join(e.CheckCount(r.data.Memories), e.CheckSHA256(r.digests[way.format])); err != nil {
		return err
	}
	if m.download, m.downloadPeak, err = r.measureDownload(ctx, r.client, e); err != nil {
		return err
	}
	way.results = append(way.results, m)
	return r.Discard(ctx, r.client, e.ID)
}

// pipedObject is the key of the object that a pipe makes.
const pipedObject = "piped"

func psqlToStdout(d benchstack.Dataset, format string) string {
	if format == "json" {
		return benchstack.CopyJSON(d, "")
	}
	return benchstack.CopyCSV(d, "")
}

// comparePipes runs each pipe once without measuring it, and compares its object with the file of psql alone.
func (r *race) comparePipes(ctx context.Context) error {
	piped, psqls := filepath.Join(r.WorkDir, "piped"), filepath.Join(r.WorkDir, "psql.out")
	defer os.Remove(piped)
	defer os.Remove(psqls)
	written := "" // the format of the file that psql wrote last
	for _, way := range s3Ways() {
		if !way.pipe {
			continue
		}
		toFile := benchstack.CopyCSV(r.data, psqls)
		if way.format == "json" {
			toFile = benchstack.CopyJSON(r.data, psqls)
		}
		if written != way.format {
			if _, err := r.RunPsql(ctx, toFile, psqls); err != nil {
				return err
			}
			written = way.format
		}
		if _, err := r.RunPipe(ctx, psqlToStdout(r.data, way.format), pipedObject, way.gzip); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if err := r.S3.Save(ctx, pipedObject, piped); err != nil {
			return err
		}
		_, err := compare.Files(piped, psqls, func(piped, psqls io.Reader) (_ int, err error) {
			if way.gzip {
				if piped, err = gzip.NewReader(piped); err != nil {
					return 0, err
				}
			}
			return 0, sameBytes(piped, psqls)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if _, err := r.S3.Delete(ctx, pipedObject); err != nil {
			return err
		}
	}
	return nil
}

// sameBytes returns an error unless both readers have the same content.
func sameBytes(a, b io.Reader) error {
	one, other := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(a, one)
		m, otherErr := io.ReadFull(b, other)
		if n != m || string(one[:n]) != string(other[:m]) {
			return errors.New("the object differs from the file that psql writes")
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // the other one has the same length, so it ends here too
		}
		if err := errors.Join(err, otherErr); err != nil {
			return err
		}
	}
}

// s3Requests counts the requests that exports make to the S3 server until their objects are deleted.
func (r *race) s3Requests(ctx context.Context) (measure.Table, error) {
	kinds := []string{"PUT", "GET", "HEAD", "LIST", "DELETE"}
	t := measure.Table{Title: "S3: requests of an export, from POST until its objects are deleted", Head: append([]string{"Data"}, kinds...),
		Note: "Without downloads."}
	requests, stop := r.S3.Count()
	defer stop()
	if err := r.Restart(ctx, 1, r.S3.Settings(requests.Address)...); err != nil {
		return t, err
	}
	tiny, err := r.Client(ctx, benchstack.Tiny)
	if err != nil {
		return t, err
	}
	for _, c := range []struct {
		name   string
		client benchstack.Client
	}{{benchstack.Tiny.Name, tiny}, {r.data.Name, r.client}} {
		requests.Take()
		e, _, err := c.client.Export(ctx, "csv")
		if err == nil {
			err = r.Discard(ctx, c.client, e.ID)
		}
		if err != nil {
			return t, err
		}
		counts := requests.Take()
		cells := []any{fmt.Sprintf("%s, CSV, %s MB", c.name, measure.Megabytes(e.SizeBytes))}
		for _, kind := range kinds {
			cells = append(cells, counts[kind])
		}
		t.Add(cells...)
	}
	return t, nil
}
