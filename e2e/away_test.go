package e2e

import (
	"testing"
	"time"
)

// No export fails because Postgres does not answer a statement for a while, or because the table of memories is
// missing for a while, as during a migration of the memory service.
func TestExportsGoOnAfterTheDatabaseWasAway(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "away")
	_, url := d.api(t)
	worker := d.worker(t, "MEMORIES_READ_TIMEOUT=1s")
	db := openDatabase(t, d.database)
	c := d.tenant(t, url, 300)
	want := table(t, db, c.workspace, "")

	release := blockReading(t, db)
	unread := c.create(t, "format=csv")
	worker.wantSays(t, "has sent nothing for 1s: raise MEMORIES_READ_TIMEOUT")
	unplanned := c.create(t, "format=csv")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the rollback below
	if _, err := tx.Exec(`SELECT FROM memexport.exports WHERE id = $1 FOR UPDATE`, unplanned.ID); err != nil {
		t.Fatal(err)
	}
	release() // now the worker can plan the second export, but hangs when it records the plan
	checkFile(t, c.client, c.ready(t, unread.ID, time.Minute), want)

	execute(t, db, `ALTER TABLE memories RENAME TO moved`)
	missing := c.create(t, "format=csv")
	worker.wantSays(t, "SQLSTATE 42P01")
	execute(t, db, `ALTER TABLE moved RENAME TO memories`)
	checkFile(t, c.client, c.ready(t, missing.ID, time.Minute), want) // tried again after 15 seconds

	if err := worker.says("has sent nothing for 2m0s", 4*time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	checkFile(t, c.client, c.ready(t, unplanned.ID, time.Minute), want)
}
