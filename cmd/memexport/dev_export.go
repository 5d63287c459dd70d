package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"memexport/internal/export"
	"memexport/internal/format"
)

// firstExports exports the demo workspace in every format over the API, as any client would, unless
// an earlier run has, and then says how to go on.
func (d *dev) firstExports(ctx context.Context, baseURL string) error {
	if err := d.write("base-url", baseURL); err != nil {
		return err
	}
	dir := filepath.Join(d.flags.dir, "exports")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
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
		d.say("  %-8s  %s (%d memories, %d bytes, in %s)", f.Name, path, e.MemoryCount, e.SizeBytes, time.Since(began).Round(time.Millisecond))
	}
	d.usage(baseURL)
	return nil
}

// exported is what dev needs of the Export object.
type exported struct {
	ID          string        `json:"id"`
	Status      export.Status `json:"status"`
	MemoryCount int64         `json:"memory_count"`
	SizeBytes   int64         `json:"size_bytes"`
	SHA256      string        `json:"sha256"`
	Error       *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// export creates an export, waits until it is READY and downloads it to path.
func (d *dev) export(ctx context.Context, baseURL, formatName, path string) (e exported, err error) {
	if err := d.call(ctx, http.MethodPost, baseURL+"/v1/exports?format="+formatName, &e); err != nil {
		return e, err
	}
	for e.Status == export.Pending || e.Status == export.Processing {
		if err := d.call(ctx, http.MethodGet, baseURL+"/v1/exports/"+e.ID, &e); err != nil {
			return e, err
		}
	}
	if e.Error != nil {
		return e, fmt.Errorf("%s: %s", e.Error.Code, e.Error.Message)
	}
	if e.Status != export.Ready {
		return e, fmt.Errorf("it is %s already: EXPORT_RETENTION is too short for this machine", e.Status)
	}
	response, err := d.request(ctx, http.MethodGet, baseURL+"/v1/exports/"+e.ID+"/download")
	if err != nil {
		return e, err
	}
	defer response.Body.Close()
	part := path + ".part"
	file, err := os.Create(part)
	if err != nil {
		return e, err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, sum), response.Body); err != nil {
		return e, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.SHA256 {
		return e, fmt.Errorf("the downloaded file's sha256 is %s instead of %s", got, e.SHA256)
	}
	if err := file.Close(); err != nil {
		return e, err
	}
	return e, os.Rename(part, path)
}

func (d *dev) call(ctx context.Context, method, url string, into any) error {
	response, err := d.request(ctx, method, url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

func (d *dev) request(ctx context.Context, method, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", d.apiKey)
	request.Header.Set("Prefer", "wait=30")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, response.Status, strings.TrimSpace(string(body)))
	}
	return response, nil
}

// usage prints what a newcomer does next; the lines work when pasted.
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
	d.say("")
	d.say("Press Ctrl-C to stop; the state stays in %s.", d.flags.dir)
}

// environ is the process's environment as a map.
func environ() map[string]string {
	environment := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		environment[name] = value
	}
	return environment
}
