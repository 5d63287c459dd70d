package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestASecondStartKeepsEverythingAndExportsNothingAnew(t *testing.T) {
	t.Parallel()
	o := devOptions{dir: newDir(t, "restart"), memories: 200}
	first := newDev(t, o)
	c := first.client()
	before := c.list(t, "")
	same(t, "exports of the first start", before.Meta.Total, len(formats))
	digests := map[string]string{}
	for _, e := range before.Data {
		digests[e.ID] = c.digest(t, e)
		file, err := os.ReadFile(filepath.Join(o.dir, "exports", "memories."+formats[e.Format][0]))
		if err != nil || int64(len(file)) != *e.SizeBytes {
			t.Errorf("the file of dev itself has %d bytes, %v; the export has %d", len(file), err, *e.SizeBytes)
		}
	}
	children := descendants(t, first.pid())
	if len(children) < 3 {
		t.Errorf("%d children: a Postgres with its own, and a Temporal, are more", len(children))
	}
	began := time.Now()
	first.signal(syscall.SIGINT)
	code, ok := first.wait(time.Minute)
	if !ok || code != 0 {
		t.Fatalf("after SIGINT dev ended: %t with %d:\n%s", ok, code, first.text())
	}
	if left := alive(t, children); len(left) > 0 {
		t.Errorf("dev has ended, and these of its children have not: %v", left)
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
		t.Errorf("dev names %d files of an earlier run:\n%s", got, second.stdout.String())
	}
	c = second.client()
	after := c.list(t, "")
	same(t, "exports after the second start", after.Meta.Total, before.Meta.Total)
	for i, e := range after.Data {
		same(t, "an export's place in the list", e.ID, before.Data[i].ID)
		same(t, "the digest of a file", c.digest(t, e), digests[e.ID])
	}

	// The workflows that sleep until the exports expire are there, too: one of them clears up.
	e := after.Data[0]
	c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	eventually(t, 8*time.Second, "the objects of a deleted export are gone, before any reconciler looks", func() bool {
		return len(second.objects(t, e.ID)) == 0
	})
	if memories := table(t, second.db, "de300000-0000-4000-8000-000000000001", ""); len(memories) != 200 {
		t.Errorf("%d demo memories", len(memories))
	}
}

func TestSIGTERMInTheMiddleOfTheFirstStartLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	o := devOptions{dir: newDir(t, "early"), memories: 200}
	p := launch(t, nil, "dev", "--dir", o.dir, "--http", "127.0.0.1:0", "--temporal-port", "0", "--ui-port", "0", "--memories", "200")
	var children []running
	eventually(t, time.Minute, "it has children", func() bool {
		children = descendants(t, p.pid())
		return len(children) > 0
	})
	p.signal(syscall.SIGTERM)
	if _, ok := p.wait(time.Minute); !ok {
		t.Fatalf("dev does not end:\n%s", p.text())
	}
	if left := alive(t, children); len(left) > 0 {
		t.Errorf("dev has ended, and these of its children have not: %v", left)
	}
	s := newDev(t, o)
	same(t, "exports of the next start", s.client().list(t, "").Meta.Total, len(formats))
}
