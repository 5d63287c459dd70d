package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/await"
)

// erase runs `memexport workspaces erase` and returns its exit code and everything that it printed.
func (d *deployment) erase(t *testing.T, workspace string, flags ...string) (int, string) {
	t.Helper()
	code, stdout, stderr := finish(t, d.env, append([]string{"workspaces", "erase", workspace}, flags...)...)
	return code, stdout + stderr
}

func TestAWorkspaceIsErased(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "erasure")
	_, url := d.api(t)
	worker := d.worker(t)
	db := openDatabase(t, d.database)
	c, neighbour := d.tenant(t, url, 2000), d.tenant(t, url, 100)
	const canary = "canary-user-1f3e"
	bucket := filepath.Join(d.dir, "bucket")

	kept := neighbour.ready(t, neighbour.create(t, "format=csv").ID, time.Minute)
	digest := neighbour.digest(t, kept)
	ready := c.ready(t, c.create(t, "format=csv&user_id="+canary, "Idempotency-Key", canary).ID, time.Minute)
	deleted := c.ready(t, c.create(t, "format=json").ID, time.Minute)
	c.do(t, "DELETE", "/v1/exports/"+deleted.ID).want(t, 204)
	release := blockReading(t, db)
	running := c.create(t, "format=markdown")
	await.True(t, time.Minute, "the export is PENDING or PROCESSING", func() bool {
		s := c.get(t, running.ID).Status
		return s == "PENDING" || s == "PROCESSING"
	})

	if code, said := d.erase(t, c.workspace); code != 2 || !strings.Contains(said, "--yes") {
		t.Errorf("without a confirmation it ended with %d: %s", code, said)
	}
	same(t, "the status after a refusal", c.get(t, ready.ID).Status, "READY")
	if code, said := d.erase(t, "x"); code != 2 || !strings.Contains(said, "UUID") {
		t.Errorf("an id that is not a UUID: %d, %s", code, said)
	}
	code, said := d.erase(t, c.workspace, "--yes")
	release()
	same(t, "the exit code", code, 0)
	_, left, _ := strings.Cut(said, "LEFT")
	for _, line := range strings.Split(strings.TrimSpace(left), "\n")[1:] {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] != "0" && fields[0] != "audit" {
			t.Errorf("left: %s", line)
		}
	}
	if !strings.Contains(said, "is erased") {
		t.Errorf("it said %s", said)
	}

	c.do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
	for _, id := range []string{ready.ID, deleted.ID, running.ID} {
		if names := objects(t, bucket, id); len(names) > 0 {
			t.Errorf("the bucket has %q of %s", names, id)
		}
	}
	entries, err := os.ReadDir(filepath.Join(bucket, "exports"))
	if err != nil || len(entries) != 1 {
		t.Errorf("the bucket has %v, %v; want the neighbour's export only", entries, err)
	}
	for _, table := range []string{"exports", "export_ranges", "export_parts", "api_keys"} {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM memexport.`+table+` x WHERE x::text LIKE '%' || $1 || '%' OR x::text LIKE '%' || $2 || '%'
			OR x::text LIKE '%' || $3 || '%'`, c.workspace, ready.ID, canary).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s has %d rows of the workspace, %v", table, n, err)
		}
	}
	if events := mustRun(t, d.env, "audit", "--workspace", c.workspace); !strings.Contains(events, "export.create") || !strings.Contains(events, "workspace.erase") {
		t.Errorf("the audit log lacks events; it contains %s", events)
	}
	if code, said := d.erase(t, c.workspace, "--yes", "--audit"); code != 0 {
		t.Errorf("the second run ended with %d: %s", code, said)
	}
	same(t, "the audit log after it was erased too", mustRun(t, d.env, "audit", "--workspace", c.workspace), "")
	same(t, "the neighbour's file", neighbour.digest(t, kept), digest)
	absent(t, "the log of the worker", []byte(worker.Output()), canary)
}

func TestAnExportThatCannotBeDeletedDoesNotStopTheErasureOfTheOthers(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "held")
	_, url := d.api(t)
	d.worker(t)
	c := d.tenant(t, url, 100)
	held := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	other := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	bucket := filepath.Join(d.dir, "bucket")
	// A directory that cannot be removed stands in for an object under a legal hold.
	hold := filepath.Join(bucket, "exports", held.ID, "kept")
	if err := os.Mkdir(hold, 0o700); err != nil {
		t.Fatal(err)
	}
	code, said := d.erase(t, c.workspace, "--yes")
	if code != 1 || !strings.Contains(said, "is not erased yet") || !strings.Contains(said, held.ID) || strings.Contains(said, other.ID) {
		t.Errorf("with a held object it ended with %d: %s", code, said)
	}
	if names := objects(t, bucket, other.ID); len(names) > 0 {
		t.Errorf("the bucket has %q of the other export", names)
	}
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	if code, said = d.erase(t, c.workspace, "--yes"); code != 0 || !strings.Contains(said, "is erased") {
		t.Errorf("without the hold it ended with %d: %s", code, said)
	}
}

func TestAnErasureSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "terminated")
	_, url := d.api(t)
	c := d.tenant(t, url, 100)
	e := c.create(t, "format=csv") // it stays PENDING, because no worker runs
	temporal, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	await.True(t, time.Minute, "the workflow is terminated", func() bool {
		return temporal.TerminateWorkflow(t.Context(), "export-"+e.ID, "", "a test") == nil
	})
	erase := launch(t, d.env, "workspaces", "erase", c.workspace, "--yes")
	erase.wantSays(t, "because the workflow of the export "+e.ID+" was terminated")
	erase.Signal(syscall.SIGINT) // the wait takes a minute
	erase.wantCode(t, 1)
	if said := erase.Output(); !strings.Contains(said, "run the same command again") || strings.Contains(said, "is erased\n") {
		t.Errorf("it said %s", said)
	}
}
