//go:build downloads

package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// several connections are what aria2 is for.
var several = []string{"-x", "4", "-s", "4", "-k", "1M"}

func aria2GoesOnWhereItWasEnded(t *testing.T, f *downloads) {
	t.Run("stopped", func(t *testing.T) { f.aria2InTwoRuns(t, syscall.SIGTERM) })
	t.Run("killed", func(t *testing.T) {
		// It notes every second how far it is, and has some seconds for its first half.
		f.aria2InTwoRuns(t, syscall.SIGKILL, "--auto-save-interval", "1", "--max-download-limit", "6M")
	})
}

// aria2InTwoRuns downloads the file over several connections, with a run that a signal ends halfway,
// and another one. The options are for the first.
func (f *downloads) aria2InTwoRuns(t *testing.T, signal syscall.Signal, options ...string) {
	p := newWire(t, f.client.url)
	dir := t.TempDir()
	f.aria2Halfway(t, p, dir, *f.export.SizeBytes/2, signal, append(options, several...)...)
	before, connections := p.counted()
	if connections < 4 {
		t.Errorf("aria2c made %d connections only", connections)
	}
	p.count(0, nil)
	if r := f.aria2(t, p, dir, several...); r.code(t) != 0 {
		t.Fatal("aria2c does not get the rest:", r.output.String())
	}
	after, again := p.counted()
	t.Logf("sent: %d bytes over %d connections, and then %d over %d, of %d", before, connections, after, again, *f.export.SizeBytes)
	if after > *f.export.SizeBytes*9/10 {
		t.Errorf("aria2c downloaded nearly everything again: %d bytes", after)
	}
	f.isWhole(t, filepath.Join(dir, "file"))
}

// aria2 cannot go on with what it unpacks, and begins a second file beside the first. What is stored
// plain is sent plain.
func aria2BeginsAnewWhatItUnpacks(t *testing.T, f *downloads) {
	p := newWire(t, f.client.url)
	dir := t.TempDir()
	const unpack = "--http-accept-gzip=true"
	f.aria2Halfway(t, p, dir, f.sentOf(t, []string{unpack})/2, syscall.SIGTERM, unpack)
	if r := f.aria2(t, p, dir, unpack); r.code(t) != 0 {
		t.Fatal("aria2c does not get the file:", r.output.String())
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

// aria2Halfway ends a run of aria2 when it has been sent some bytes.
func (f *downloads) aria2Halfway(t *testing.T, p *wire, dir string, bytes int64, signal syscall.Signal, options ...string) {
	t.Helper()
	halfway := make(chan struct{})
	p.count(bytes, func() (goOn bool) {
		close(halfway)
		return true
	})
	run := f.aria2(t, p, dir, options...)
	select {
	case <-halfway:
	case <-time.After(time.Minute):
		t.Fatalf("aria2c does not download: %s", run.output.String())
	}
	if err := run.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if run.code(t) == 0 {
		t.Fatal("aria2c was done before it could be ended")
	}
}
