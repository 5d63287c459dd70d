//go:build downloads

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/process"
)

// downloadMemories is enough for a file of about 50 MB with several parts.
const downloadMemories = 110_000

// downloads is a READY export, which the tests download with real programs.
type downloads struct {
	*deployment
	client     *client
	export     object
	compressed bool // whether the export is stored compressed in the bucket
}

func TestDownloads(t *testing.T) {
	d := newDeployment(t, "downloads")
	_, url := d.api(t)
	c := d.tenant(t, url, downloadMemories).client
	for _, stored := range []struct{ format, compression string }{{"json", "none"}, {"json", "gzip"}, {"parquet", "gzip"}} {
		worker := d.worker(t, "EXPORT_COMPRESSION="+stored.compression)
		e := c.ready(t, c.create(t, "format="+stored.format).ID, 2*time.Minute)
		f := &downloads{deployment: d, client: c, export: e, compressed: stored.compression == "gzip" && stored.format != "parquet"}
		worker.end(syscall.SIGTERM)
		t.Logf("stored as %s with compression %s: %d bytes in %d parts", stored.format, stored.compression, *f.export.SizeBytes, len(objects(t, f.bucket(), f.export.ID)))
		t.Run(stored.format+" compression "+stored.compression, func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*testing.T, *downloads)
			}{
				{"curl resumes after cuts", curlResumesAfterCuts},
				{"curl resumes after the API was killed", curlResumesAfterTheAPIWasKilled},
				{"curl resumes a compressed file by its ETag", curlResumesACompressedFileByItsETag},
				{"curl fails when the store loses a part", curlFailsWhenTheStoreLosesAPart},
				{"curl fails when parts are truncated", curlFailsWhenPartsAreTruncated},
				{"aria2 resumes after a signal", aria2ResumesAfterASignal},
				{"aria2 begins anew a file that it unpacks", aria2BeginsAnewAFileThatItUnpacks},
				{"many slow downloads need little memory", manySlowDownloadsNeedLittleMemory},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, f) })
			}
		})
	}
}

func (f *downloads) bucket() string { return filepath.Join(f.dir, "bucket") }

func (f *downloads) path() string { return "/v1/exports/" + f.export.ID + "/download" }

func (f *downloads) keyHeader() string { return "X-Api-Key: " + f.client.key }

// isWhole fails the test unless the file at path is the whole file of the export.
func (f *downloads) isWhole(t *testing.T, path string) {
	t.Helper()
	same(t, "size of the file", sizeOf(t, path), *f.export.SizeBytes)
	same(t, "sha256 of the file", digestOf(t, path), *f.export.SHA256)
}

// tool is a running program that is installed on this machine.
type tool struct{ *process.Process }

// startTool starts a program. It fails the test if the program is not installed.
func startTool(t *testing.T, name string, args ...string) *tool {
	t.Helper()
	cmd := exec.Command(name, args...)
	output := &process.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	p, err := process.Start(cmd, process.Options{})
	if err != nil {
		t.Fatalf("%v: install it with apt-get install curl aria2", err)
	}
	t.Cleanup(p.Kill)
	return &tool{p}
}

// code waits until the program ends and returns its exit code, or -1 if a signal ended it.
func (p *tool) code(t *testing.T) int {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(endTimeout):
		t.Fatalf("the program still runs after %s:\n%s", endTimeout, p.Output())
	}
	return p.ExitCode()
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

// parts returns the paths of the file's parts in order. The test may damage the parts, because parts
// restores them when the test ends.
func (f *downloads) parts(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, name := range objects(t, f.bucket(), f.export.ID) { // the names are sorted
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
