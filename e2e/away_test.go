package e2e

import (
	"testing"
	"time"
)

// A hang and a migration of the memory service end after a while. Neither may fail an export.
func TestExportsGoOnAfterTheMemoriesWereAway(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "away")
	_, url := d.api(t)
	worker := d.worker(t, "MEMORIES_READ_TIMEOUT=1s")
	db := openDatabase(t, d.database)
	c := d.tenant(t, url, 300)
	want := table(t, db, c.workspace, "")

	release := blockReading(t, db)
	hanging := c.create(t, "format=csv")
	worker.wantSays(t, "has sent nothing for 1s: raise MEMORIES_READ_TIMEOUT")
	release()
	checkFile(t, c.client, c.ready(t, hanging.ID, time.Minute), want)

	execute(t, db, `ALTER TABLE memories RENAME TO moved`)
	missing := c.create(t, "format=csv")
	worker.wantSays(t, "SQLSTATE 42P01")
	execute(t, db, `ALTER TABLE moved RENAME TO memories`)
	checkFile(t, c.client, c.ready(t, missing.ID, time.Minute), want) // tried again after 15 seconds
}
