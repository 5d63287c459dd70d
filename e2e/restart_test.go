package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/demo"
)

func TestASecondStartKeepsEverythingAndMakesNoExport(t *testing.T) {
	t.Parallel()
	// Set RECONCILE_EVERY so that the reconciler does not run during the test. The test checks that
	// the workflow deletes the objects of a deleted export, and the reconciler could do the same.
	o := devOptions{dir: newDir(t, "restart"), memories: 200, env: []string{"RECONCILE_EVERY=1h"}}
	first := newDev(t, o)
	c := first.client()
	before := c.list(t, "")
	same(t, "exports of the first start", before.Meta.Total, len(formats))
	digests := map[string]string{}
	for _, e := range before.Data {
		digests[e.ID] = c.digest(t, e)
		file, err := os.ReadFile(filepath.Join(o.dir, "exports", "memories."+formats[e.Format][0]))
		if err != nil || int64(len(file)) != *e.SizeBytes {
			t.Errorf("the file that dev wrote has %d bytes, %v; the export has %d", len(file), err, *e.SizeBytes)
		}
	}
	children := descendants(t, first.PID())
	if len(children) < 3 {
		t.Errorf("dev has %d descendants, want Temporal, Postgres and the children of Postgres", len(children))
	}
	began := time.Now()
	first.Signal(syscall.SIGINT)
	first.wantCode(t, 0)
	if left := alive(t, children); len(left) > 0 {
		t.Errorf("dev has ended, but these of its children still run: %v", left)
	}
	t.Logf("stopped in %s", time.Since(began).Round(time.Millisecond))

	began = time.Now()
	second := newDev(t, o)
	took := time.Since(began)
	t.Logf("started again in %s", took.Round(time.Millisecond))
	if took > 30*time.Second {
		t.Errorf("the second start took %s", took)
	}
	same(t, "the key", second.key, first.key)
	if got := strings.Count(second.stdout.String(), "of an earlier run"); got != len(formats) {
		t.Errorf("dev names %d files from an earlier run:\n%s", got, second.stdout.String())
	}
	c = second.client()
	after := c.list(t, "")
	same(t, "exports after the second start", after.Meta.Total, before.Meta.Total)
	for i, e := range after.Data {
		same(t, "an export's place in the list", e.ID, before.Data[i].ID)
		same(t, "the digest of a file", c.digest(t, e), digests[e.ID])
	}

	// The workflows have survived the restart, too. Each sleeps until its export expires. The
	// DELETE wakes up the workflow of this export, which then deletes the objects.
	e := after.Data[0]
	c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	await.True(t, time.Minute, "the objects of the deleted export are gone", func() bool {
		return len(second.objects(t, e.ID)) == 0
	})
	if memories := table(t, second.db, demo.WorkspaceID, ""); len(memories) != 200 {
		t.Errorf("there are %d demo memories", len(memories))
	}
}

func TestSIGTERMDuringTheFirstStartLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	o := devOptions{dir: newDir(t, "early"), memories: 200}
	p := launch(t, nil, "dev", "--dir", o.dir, "--http", "127.0.0.1:0", "--temporal-port", "0", "--ui-port", "0", "--memories", "200")
	var children []running
	await.True(t, time.Minute, "dev has children", func() bool {
		children = descendants(t, p.PID())
		return len(children) > 0
	})
	p.Signal(syscall.SIGTERM)
	p.code(t)
	if left := alive(t, children); len(left) > 0 {
		t.Errorf("dev has ended, but these of its children still run: %v", left)
	}
	s := newDev(t, o)
	same(t, "exports of the next start", s.client().list(t, "").Meta.Total, len(formats))
}
