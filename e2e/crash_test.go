package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashMemories make an export of some seconds, of several ranges and dozens of parts.
const crashMemories = 500_000

// A worker that was killed is only known to be dead when its heartbeat is overdue by 30 seconds, so
// that the exports of all kills recover together at the end.
func TestKillingTheProcessAtAnyMomentChangesNoByteOfAFile(t *testing.T) {
	t.Parallel()
	o := devOptions{dir: newDir(t, "crash")}
	s := newDev(t, o)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, crashMemories, 66)

	kills := []struct {
		format string
		from   int // the progress at which to kill, 0 for at once
		victim string
	}{
		{format: "csv", from: 1, victim: "memexport"},
		{format: "json", from: 40, victim: "memexport"},
		{format: "markdown", from: 20, victim: "postmaster"},
		{format: "csv", from: 80, victim: "memexport"},
		{format: "json", from: 0, victim: "memexport"},
	}
	var interrupted []object
	for _, kill := range kills {
		e := c.create(t, "format="+kill.format)
		interrupted = append(interrupted, e)
		at := c.waitProgress(t, e.ID, kill.from)
		children := descendants(t, s.pid())
		if kill.victim == "postmaster" {
			killPostmaster(t, s)
		} else {
			s.kill()
		}
		began := time.Now()
		s.db.Close()
		s = newDev(t, o)
		if left := alive(t, children); len(children) < 3 || len(left) > 0 {
			t.Errorf("of %d children of the killed process these still run beside the new one: %v", len(children), left)
		}
		t.Logf("the %s was killed at %d %% of an export as %s; everything ran again %s later", kill.victim, at, kill.format,
			time.Since(began).Round(time.Millisecond))
		c.client = c.at(s.url)
	}
	began := time.Now()
	digests := map[string]string{}
	for _, e := range interrupted {
		e = c.ready(t, e.ID, 5*time.Minute)
		same(t, "memory_count", e.MemoryCount, crashMemories)
		if digest := c.digest(t, e); digests[e.Format] == "" {
			digests[e.Format] = digest
		} else {
			same(t, "another interrupted export as "+e.Format, digest, digests[e.Format])
		}
	}
	t.Logf("all of them were READY %s after the last start", time.Since(began).Round(time.Millisecond))
	for format, digest := range digests {
		began := time.Now()
		e := c.ready(t, c.create(t, "format="+format).ID, 5*time.Minute)
		t.Logf("undisturbed, an export as %s of %d memories and %d bytes took %s", format, e.MemoryCount, *e.SizeBytes,
			time.Since(began).Round(time.Millisecond))
		same(t, "an undisturbed export as "+format, c.digest(t, e), digest)
	}
}

// waitProgress polls until an export has come that far, but not to its end, and returns how far.
func (c *client) waitProgress(t *testing.T, id string, from int) int {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		e := c.get(t, id)
		switch {
		case e.Status == "READY" || e.Error != nil:
			t.Fatalf("the export is %s already: %+v", e.Status, e)
		case e.Progress >= from:
			return e.Progress
		case time.Now().After(deadline):
			t.Fatalf("the export is still at %d %%", e.Progress)
		}
	}
}

// killPostmaster kills Postgres under a running stack, which then has to end by itself.
func killPostmaster(t *testing.T, s *stack) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code, ok := s.wait(time.Minute)
	if !ok || code != 1 || !strings.Contains(s.stderr.String(), "postgres stopped unexpectedly") {
		t.Fatalf("without Postgres dev ended: %t with %d:\n%s", ok, code, s.text())
	}
}
