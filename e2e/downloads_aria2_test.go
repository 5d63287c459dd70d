//go:build downloads

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// several are the options that make aria2 download over four connections.
var several = []string{"-x", "4", "-s", "4", "-k", "1M"}

func aria2ResumesAfterASignal(t *testing.T, f *downloads) {
	t.Run("stopped", func(t *testing.T) { f.aria2InTwoRuns(t, syscall.SIGTERM) })
	t.Run("killed", func(t *testing.T) {
		// With these options, aria2c saves its progress every second, and needs eight seconds for the file.
		f.aria2InTwoRuns(t, syscall.SIGKILL, "--auto-save-interval", "1", "--max-overall-download-limit", fmt.Sprint(*f.export.SizeBytes/8))
	})
}

// aria2InTwoRuns downloads the file in two runs over several connections. A signal ends the first
// run halfway. The options apply only to the first run.
func (f *downloads) aria2InTwoRuns(t *testing.T, signal syscall.Signal, options ...string) {
	p := newWire(t, f.client.url)
	dir := t.TempDir()
	f.aria2Halfway(t, p, dir, *f.export.SizeBytes/2, signal, append(options, several...)...)
	before, connections := p.counted()
	if connections < 4 {
		t.Errorf("aria2c made only %d connections", connections)
	}
	p.count(0, nil)
	if r := f.aria2(t, p, dir, several...); r.code(t) != 0 {
		t.Fatal("aria2c does not get the rest:", r.Output())
	}
	after, again := p.counted()
	t.Logf("sent: %d bytes over %d connections, and then %d over %d, of %d", before, connections, after, again, *f.export.SizeBytes)
	if after > *f.export.SizeBytes*9/10 {
		t.Errorf("aria2c downloaded nearly everything again: %d bytes", after)
	}
	f.isWhole(t, filepath.Join(dir, "file"))
}

// aria2 cannot resume a file that it decompresses while it downloads. Instead it downloads a second file,
// named file.1. If the export is not stored compressed, the API sends an uncompressed file, which aria2
// resumes.
func aria2BeginsAnewAFileThatItUnpacks(t *testing.T, f *downloads) {
	p := newWire(t, f.client.url)
	dir := t.TempDir()
	const unpack = "--http-accept-gzip=true"
	f.aria2Halfway(t, p, dir, f.sentOf(t, []string{unpack})/2, syscall.SIGTERM, unpack)
	if r := f.aria2(t, p, dir, unpack); r.code(t) != 0 {
		t.Fatal("aria2c does not get the file:", r.Output())
	}
	name := "file"
	if f.compressed {
		name = "file.1"
	}
	f.isWhole(t, filepath.Join(dir, name))
}

func (f *downloads) aria2(t *testing.T, p *wire, dir string, options ...string) *tool {
	t.Helper()
	return startTool(t, "aria2c", append([]string{"--no-conf", "-q", "-c", "--file-allocation=none", "--header", f.keyHeader(),
		"-d", dir, "-o", "file", p.url + f.path()}, options...)...)
}

// aria2Halfway starts aria2, and sends the signal to aria2 when the API has sent this many bytes. A limit
// of 6 MB per second makes the download take some seconds, so that the signal comes before the download
// is complete.
func (f *downloads) aria2Halfway(t *testing.T, p *wire, dir string, bytes int64, signal syscall.Signal, options ...string) {
	t.Helper()
	halfway := make(chan struct{})
	p.count(bytes, func() (goOn bool) {
		close(halfway)
		return true
	})
	run := f.aria2(t, p, dir, append(options, "--max-download-limit", "6M")...)
	receive(t, halfway, "aria2c has downloaded half of the file")
	if began := time.Now(); signal == syscall.SIGKILL {
		// After SIGKILL, aria2c resumes only what it had saved before.
		await.True(t, time.Minute, "aria2c saves its progress", func() bool {
			info, err := os.Stat(filepath.Join(dir, "file.aria2"))
			return err == nil && info.ModTime().After(began)
		})
	}
	run.Signal(signal)
	if run.code(t) == 0 {
		t.Fatal("aria2c was done before the signal came")
	}
}
