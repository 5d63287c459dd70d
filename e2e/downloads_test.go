//go:build downloads

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// downloadMemories make a file of some 50 MB, of several parts.
const downloadMemories = 110_000

// downloads is an export whose file real programs download.
type downloads struct {
	*deployment
	client     *client
	export     object
	compressed bool // in the bucket
}

func TestDownloads(t *testing.T) {
	d := newDeployment(t, "downloads")
	_, url := d.api(t)
	c := d.tenant(t, url, downloadMemories).client
	for _, compression := range []string{"none", "gzip"} {
		worker := d.worker(t, "EXPORT_COMPRESSION="+compression)
		f := &downloads{d, c, c.ready(t, c.create(t, "format=json").ID, 2*time.Minute), compression == "gzip"}
		worker.end(syscall.SIGTERM)
		t.Logf("stored with compression %s: %d bytes in %d parts", compression, *f.export.SizeBytes, len(objects(t, f.bucket(), f.export.ID)))
		t.Run("compression "+compression, func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*testing.T, *downloads)
			}{
				{"curl resumes after cuts", curlResumesAfterCuts},
				{"curl resumes after the API was killed", curlResumesAfterTheAPIWasKilled},
				{"curl resumes a compressed file by its ETag", curlResumesACompressedFileByItsETag},
				{"curl fails when the store loses a part", curlFailsWhenTheStoreLosesAPart},
				{"curl fails when parts are cut short", curlFailsWhenPartsAreCutShort},
				{"aria2 goes on where it was ended", aria2GoesOnWhereItWasEnded},
				{"aria2 begins anew what it unpacks", aria2BeginsAnewWhatItUnpacks},
				{"many slow downloads take little memory", manySlowDownloadsTakeLittleMemory},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, f) })
			}
		})
	}
}

func (f *downloads) bucket() string { return filepath.Join(f.dir, "bucket") }

func (f *downloads) path() string { return "/v1/exports/" + f.export.ID + "/download" }

func (f *downloads) keyHeader() string { return "X-Api-Key: " + f.client.key }

// isWhole says that a file on disk is the export's.
func (f *downloads) isWhole(t *testing.T, path string) {
	t.Helper()
	same(t, "size of the file", sizeOf(t, path), *f.export.SizeBytes)
	same(t, "sha256 of the file", digestOf(t, path), *f.export.SHA256)
}

// tool is a run of an installed program.
type tool struct {
	cmd    *exec.Cmd
	output output
}

// startTool runs a program that has to be installed.
func startTool(t *testing.T, name string, args ...string) *tool {
	t.Helper()
	p := &tool{cmd: exec.CommandContext(t.Context(), name, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%v: install it: apt-get install curl aria2", err)
	}
	return p
}

// code waits for the end and returns the exit code, -1 if the program was killed.
func (p *tool) code(t *testing.T) int {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func digestOf(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// parts are the paths of the file's parts in order. The test may spoil them: they are mended at its end.
func (f *downloads) parts(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, name := range objects(t, f.bucket(), f.export.ID) { // sorted
		path := filepath.Join(f.bucket(), "exports", f.export.ID, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Error(err)
			}
		})
		paths = append(paths, path)
	}
	return paths
}
