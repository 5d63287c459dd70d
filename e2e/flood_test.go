package e2e

import (
	"slices"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// TestAFloodOfOneWorkspaceDelaysAnotherByAFewExports creates 40 exports of one workspace and then one of another
// workspace. It counts how many of the 40 become READY before the one, and does not measure time. It blocks the
// reading of memories until all exports are created.
func TestAFloodOfOneWorkspaceDelaysAnotherByAFewExports(t *testing.T) {
	t.Parallel()
	const flood, places = 40, 3
	d := newDeployment(t, "flood")
	limits := []string{"EXPORT_WORKSPACE_RUNNING=3", "EXPORT_WORKSPACE_UNFINISHED=40"}
	_, url := d.api(t, limits...)
	d.worker(t, limits...)
	noisy, quiet := d.tenant(t, url, 1000), d.tenant(t, url, 10)
	db := openDatabase(t, d.database)

	release := blockReading(t, db)
	var created []string
	for range flood {
		created = append(created, noisy.create(t, "format=json").ID)
	}
	refused := noisy.do(t, "POST", "/v1/exports")
	refused.problem(t, 429, "EXPORT_LIMIT_REACHED")
	if refused.header.Get("Retry-After") == "" || refused.header.Get("RateLimit-Policy") == "" {
		t.Errorf("the refusal has the headers %v", refused.header)
	}
	small := quiet.create(t, "format=csv")
	var dispatched int
	if err := db.QueryRow(`SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND dispatched_at IS NOT NULL`,
		noisy.workspace).Scan(&dispatched); err != nil {
		t.Fatal(err)
	}
	same(t, "exports of the flood that have a place", dispatched, places)
	release()

	quiet.ready(t, small.ID, time.Minute)
	await.True(t, 3*time.Minute, "every export of the flood is READY", func() bool {
		var open int
		if err := db.QueryRow(`SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND status <> 'READY'`,
			noisy.workspace).Scan(&open); err != nil {
			t.Fatal(err)
		}
		return open == 0
	})
	var before int
	if err := db.QueryRow(`SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND
		completed_at < (SELECT completed_at FROM memexport.exports WHERE id = $2)`, noisy.workspace, small.ID).Scan(&before); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d exports of the flood were READY before the other workspace's", before, flood)
	if before > flood/2 { // without places, nearly all are; on an idle machine, a few
		t.Errorf("%d of %d exports of the flood were READY before the other workspace's", before, flood)
	}
	same(t, "exports in the order in which they got a place, and in the order of their creation",
		slices.Equal(byDispatch(t, d.database, noisy.workspace), created), true)
}

// byDispatch returns the ids of a workspace's exports in the order in which the exports were allowed to
// run.
func byDispatch(t *testing.T, database, workspace string) (ids []string) {
	t.Helper()
	rows, err := openDatabase(t, database).Query(`SELECT id FROM memexport.exports WHERE workspace_id = $1 ORDER BY dispatched_at, created_at, id`, workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}
