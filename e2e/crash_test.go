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

// crashMemories is enough for an export that takes several seconds and has several ranges and
// dozens of parts.
const crashMemories = 500_000

// Temporal notices that a worker was killed only after 30 seconds, when the worker's heartbeat is
// overdue. So this test kills several processes without waiting for the interrupted exports, and waits
// for all exports at the end.
func TestKillingTheProcessAtAnyMomentChangesNoByteOfAFile(t *testing.T) {
	t.Parallel()
	// Do not limit the running exports of the workspace. An interrupted export still counts as running, so
	// interrupted exports could keep the next export waiting for 30 seconds.
	o := devOptions{dir: newDir(t, "crash"), env: []string{"EXPORT_WORKSPACE_RUNNING=0"}}
	s := newDev(t, o)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, crashMemories, 66)
	// Turn off autovacuum, because it updates the statistics of Postgres. Different statistics make
	// different ranges, and a Parquet file with other ranges has other bytes.
	execute(t, s.db, `ALTER TABLE memories SET (autovacuum_enabled = false)`)

	type kill struct {
		format string
		from   int // the progress in percent at which to kill the process; 0 means at once
		victim string
	}
	kills := []kill{{"csv", 1, "memexport"}, {"json", 40, "memexport"}, {"markdown", 20, "postmaster"}, {"csv", 80, "memexport"}, {"json", 0, "memexport"}}
	kills = append(kills, kill{"ndjson", 30, "memexport"})
	// Use no value above 90, because an export usually becomes READY before it shows more than 90 %.
	for _, from := range []int{0, 30, 70, 90} {
		kills = append(kills, kill{"parquet", from, "memexport"})
	}
	var interrupted []object
	for _, kill := range kills {
		e, at := c.createUntil(t, "format="+kill.format, kill.from)
		interrupted = append(interrupted, e)
		children := descendants(t, s.PID())
		if kill.victim == "postmaster" {
			killPostmaster(t, s)
		} else {
			s.Kill()
		}
		began := time.Now()
		s.db.Close()
		s = newDev(t, o)
		if left := alive(t, children); len(children) < 3 || len(left) > 0 {
			t.Errorf("the killed process had %d children, and these still run beside the new one: %v", len(children), left)
		}
		t.Logf("%s was killed at %d %% of an export as %s; everything ran again %s later", kill.victim, at, kill.format,
			time.Since(began).Round(time.Millisecond))
		c.client = c.at(s.url)
	}
	began := time.Now()
	digests := map[string]string{}
	for _, e := range interrupted {
		e = c.ready(t, e.ID, 5*time.Minute)
		same(t, "memory_count", e.MemoryCount, crashMemories)
		if digest := c.contentDigest(t, e); digests[e.Format] == "" {
			digests[e.Format] = digest
		} else {
			same(t, "the digest of another interrupted export as "+e.Format, digest, digests[e.Format])
		}
	}
	t.Logf("all of them were READY %s after the last start", time.Since(began).Round(time.Millisecond))
	for format, digest := range digests {
		began := time.Now()
		e := c.ready(t, c.create(t, "format="+format).ID, 5*time.Minute)
		t.Logf("undisturbed, an export as %s of %d memories and %d bytes took %s", format, e.MemoryCount, *e.SizeBytes,
			time.Since(began).Round(time.Millisecond))
		same(t, "the digest of an undisturbed export as "+format, c.contentDigest(t, e), digest)
	}
}

// createUntil creates an export, and returns when its progress has reached the given percentage but the export
// is not READY yet. If the export is READY before createUntil sees such a progress, as on a busy machine,
// createUntil creates another export.
func (c *client) createUntil(t *testing.T, query string, percent int) (e object, progress int) {
	t.Helper()
	e = c.create(t, query)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // below the limit of requests per second
		now := c.get(t, e.ID)
		switch {
		case now.Error != nil:
			t.Fatalf("the export is %s: %+v", now.Status, now.Error)
		case time.Now().After(deadline):
			t.Fatalf("no export was seen between %d %% and READY; the last is %s at %d %%", percent, now.Status, now.Progress)
		case now.Status == "READY":
			t.Logf("an export was READY before it was seen at %d %%: making another", percent)
			e = c.create(t, query)
		case now.Progress >= percent:
			return e, now.Progress
		}
	}
}

// killPostmaster kills the Postgres of a running stack and checks that memexport dev then ends by
// itself.
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
	s.wantCode(t, 1)
	says(t, "dev without Postgres", s.stderr.String(), "postgres stopped unexpectedly")
}
