package e2e

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/await"
)

// A canary is a unique word. This test puts one canary into the text of memories and another into a
// filter. Both canaries may appear in the file and in the table of memories. The canary of the filter may
// also appear in the row of the export. Even if something fails, no canary may appear in a log, in an
// error response, in a trace or a metric, in another table or in Temporal. After the purge, only the
// memories contain the canaries.
func TestACanaryIsOnlyInItsFileAndItsRow(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "canary")
	collector := newOTLPReceiver(t)
	d.env = append(d.env, collector.env()...)
	db := openDatabase(t, d.database)
	inText, inFilter := "canary-text-"+uuid.NewString(), "canary-filter-"+uuid.NewString()
	c := d.tenant(t, "", 0)
	memories := awkwardMemories(c.workspace, []string{inText, "poison-" + inText}, []string{"2025-01-01T00:00:00.000000Z"})
	fine, poisoned := inFilter, inFilter+"-poisoned"
	for i := range memories {
		memories[i].User = &fine
		if i >= len(memories)/2 {
			memories[i].User = &poisoned
		}
	}
	insert(t, db, memories)
	// This view fails on some rows. The error from Postgres quotes the value that it cannot convert.
	execute(t, db, `CREATE VIEW poisoned AS SELECT id, CASE WHEN memory LIKE 'poison-%' THEN memory::int::text ELSE memory END AS memory,
		user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	api, address := d.api(t)
	c.client = c.at(address)
	worker := d.worker(t, "MEMORIES_TABLE=poisoned")

	// Case 1: Postgres fails on a row.
	failing := c.create(t, "format=csv&user_id="+url.QueryEscape(poisoned), "Idempotency-Key", "first")
	await.True(t, time.Minute, "the export is FAILED", func() bool { return c.get(t, failing.ID).Status == "FAILED" })
	c.do(t, "GET", "/v1/exports/"+failing.ID+"/download").problem(t, 409, "EXPORT_FAILED")
	c.do(t, "POST", "/v1/exports?format=xml&user_id="+url.QueryEscape(inFilter)).problem(t, 422, "INVALID_REQUEST")
	c.do(t, "POST", "/v1/exports?created_after="+url.QueryEscape(inFilter)).problem(t, 422, "INVALID_REQUEST")

	// Case 2: the store fails, and then the worker is killed.
	bucket := filepath.Join(d.dir, "bucket")
	if err := os.RemoveAll(filepath.Join(bucket, "exports")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bucket, "exports"), nil, 0o600); err != nil { // a file in place of the directory makes every write fail
		t.Fatal(err)
	}
	e := c.create(t, "format=json&user_id="+url.QueryEscape(inFilter))
	before := len(worker.Output())
	await.True(t, time.Minute, "the worker reports that the store fails", func() bool {
		return strings.Contains(worker.Output()[before:], "not a directory")
	})
	worker.Kill()
	if err := os.Remove(filepath.Join(bucket, "exports")); err != nil {
		t.Fatal(err)
	}
	successor := d.worker(t, "MEMORIES_TABLE=poisoned", "EXPORT_GRACE=1s")
	e = c.ready(t, e.ID, 3*time.Minute)
	file := c.do(t, "GET", "/v1/exports/"+e.ID+"/download").want(t, 200).body
	if !bytes.Contains(file, []byte(inText)) || !bytes.Contains(file, []byte(inFilter)) || bytes.Contains(file, []byte("poison-")) {
		t.Errorf("the file does not contain the memories that were asked for: %.500s", file)
	}

	nowhereElse := func() {
		t.Helper()
		for name, p := range map[string]*command{"API": api, "killed worker": worker, "second worker": successor} {
			absent(t, "the log of the "+name, []byte(p.Output()), inText, inFilter, c.key)
		}
		absent(t, "an answer", errorsOf(c.answers()), inText, inFilter, c.key)
		absentFromFiles(t, d.dir, "temporal*", inText, inFilter, c.key)
		for name, p := range map[string]*command{"API": api, "second worker": successor} {
			absent(t, "a metric of the "+name, newClient(adminURL(t, p), "").do(t, "GET", "/metrics").want(t, 200).body, inText, inFilter, c.key)
		}
		spans := collector.text()
		if !strings.Contains(spans, e.ID) || !strings.Contains(spans, failing.ID) {
			t.Error("the collector has not received the spans of both exports")
		}
		absent(t, "a span", []byte(spans), inText, inFilter, c.key)
	}
	nowhereElse()
	purged := func(id string) {
		t.Helper()
		await.True(t, time.Minute, "the export is purged", func() bool {
			var purged bool
			if err := db.QueryRow(`SELECT purged_at IS NOT NULL FROM memexport.exports WHERE id = $1`, id).Scan(&purged); err != nil {
				t.Fatal(err)
			}
			return purged
		})
	}
	purged(failing.ID)
	want := map[string]int{"canary-tex in public.memories": len(memories) / 3 * 2, "canary-fil in public.memories": len(memories), "canary-fil in memexport.exports": 1}
	same(t, "what the database has while one export is READY", fmt.Sprint(inTables(t, d.database, inText, inFilter, c.key)), fmt.Sprint(want))

	// 3. The other export expires and is purged.
	d.expireNow(t, e.ID)
	purged(e.ID)
	same(t, "the status", c.get(t, e.ID).Status, "EXPIRED")
	delete(want, "canary-fil in memexport.exports")
	same(t, "what the database has after the purge", fmt.Sprint(inTables(t, d.database, inText, inFilter, c.key)), fmt.Sprint(want))
	for _, id := range []string{failing.ID, e.ID} {
		absent(t, "a purged export", c.do(t, "GET", "/v1/exports/"+id).want(t, 200).body, inFilter)
		same(t, "objects of a purged export", len(objects(t, bucket, id)), 0)
	}
	nowhereElse()
}

// expireNow makes an export expire at once.
func (d *deployment) expireNow(t *testing.T, exportID string) {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await.True(t, time.Minute, "the workflow lets the export expire", func() bool { // the row becomes READY shortly before the workflow accepts this update
		update, err := c.UpdateWorkflow(t.Context(), temporalclient.UpdateWorkflowOptions{WorkflowID: "export-" + exportID,
			UpdateName: "expire-now", WaitForStage: temporalclient.WorkflowUpdateStageCompleted})
		return err == nil && update.Get(t.Context(), nil) == nil
	})
}

// inTables returns how many rows of each table contain each of the texts. A key such as "canary-tex in
// public.memories" consists of the first ten characters of the text and the name of the table.
func inTables(t *testing.T, database string, texts ...string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, text := range texts {
		for table, n := range tablesWith(t, database, text) {
			found[fmt.Sprintf("%.10s in %s", text, table)] += n
		}
	}
	return found
}

// errorsOf returns answers without those that contain an Export object. Such an object repeats the filter
// of the caller's own export.
func errorsOf(answers []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(withoutRequests(answers)) {
		if !bytes.Contains(line, []byte(`"memory_count"`)) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// tablesWith returns, for each table of a database, how many rows contain a text in any column. It leaves
// out tables without such a row.
func tablesWith(t *testing.T, database, text string) map[string]int {
	t.Helper()
	db := openDatabase(t, database)
	rows, err := db.Query(`SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var table string
		var n int
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(`SELECT count(*) FROM `+table+` r WHERE strpos(r::text, $1) > 0`, text).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found[table] = n
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
