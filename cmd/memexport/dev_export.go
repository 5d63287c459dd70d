//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"memexport/client"
	"memexport/internal/cli/progress"
	"memexport/internal/cli/remote"
	"memexport/internal/service/format"
)

// firstExports exports the demo workspace in every format, using the API as any client would. Then it
// prints what to do next. It does not overwrite files of an earlier run.
func (d *dev) firstExports(ctx context.Context, baseURL string) error {
	if err := d.write("base-url", baseURL); err != nil {
		return err
	}
	dir := filepath.Join(d.flags.dir, "exports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d.say("")
	d.say("Exports of the demo memories:")
	d.say("")
	for _, f := range format.All {
		path := filepath.Join(dir, "memories."+f.Extension)
		if info, err := os.Stat(path); err == nil {
			d.say("  %-8s  %s (%d bytes, of an earlier run)", f.Name, path, info.Size())
			continue
		}
		began := time.Now()
		e, err := d.export(ctx, baseURL, f.Name, path)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the first %s export: %w; see %s", f.Name, err, filepath.Join(d.flags.dir, "memexport.log"))
		}
		d.say("  %-8s  %s (%d memories, %d bytes, in %s)", f.Name, path, e.MemoryCount, *e.SizeBytes, time.Since(began).Round(time.Millisecond))
	}
	d.usage(baseURL)
	return nil
}

// export creates an export, waits until it is READY and downloads it to path.
func (d *dev) export(ctx context.Context, baseURL, formatName, path string) (remote.Export, error) {
	r, err := remote.New(remote.Options{URL: baseURL, Key: d.apiKey, UserAgent: "memexport/" + version,
		RetryFor: time.Minute, FirstFor: time.Minute, Idle: time.Minute, Report: progress.Silent()})
	if err != nil {
		return remote.Export{}, err
	}
	// Set Restart, because an earlier run may have left a partial download from a different URL.
	saved, err := r.Save(ctx, remote.Job{Params: client.CreateExportParams{Format: new(client.ExportFormat(formatName))}, Output: path, Restart: true})
	return saved.Export, err
}

// usage prints what to do next. The commands that it prints can be pasted into a shell.
func (d *dev) usage(baseURL string) {
	d.say("")
	d.say("  API         %s", baseURL)
	d.say("  API key     %s", d.apiKey)
	if d.uiURL != "" {
		d.say("  Temporal    %s", d.uiURL)
	}
	d.say("  Log         %s", filepath.Join(d.flags.dir, "memexport.log"))
	d.say("")
	d.say("Try it in another terminal:")
	d.say("")
	d.say("  export KEY=%s", d.apiKey)
	d.say("  ID=$(curl -sX POST -H \"X-Api-Key: $KEY\" '%s/v1/exports?format=csv&priority=HIGH' |", baseURL)
	d.say("    tee /dev/stderr | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')")
	d.say("  curl -s -H \"X-Api-Key: $KEY\" -H 'Prefer: wait=30' %s/v1/exports/$ID", baseURL)
	d.say("  curl -OJ -H \"X-Api-Key: $KEY\" %s/v1/exports/$ID/download", baseURL)
	if program, err := os.Executable(); err == nil {
		d.say("  MEMEXPORT_URL=%s MEMEXPORT_API_KEY=$KEY '%s' export --format csv --priority HIGH -o high.csv", baseURL, program)
	}
	d.say("")
	d.say("Press Ctrl-C to stop. The state stays in %s.", d.flags.dir)
	d.say("`memexport dev clean --dir %s` deletes it.", d.flags.dir)
}

// environ returns the environment of this process as a map.
func environ() map[string]string {
	environment := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		environment[name] = value
	}
	return environment
}
