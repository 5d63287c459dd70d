package e2e

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
)

// The tests in this file check what docs/operations.md promises about backups.

func TestATemporalServerThatLostEverythingIsFilledAgain(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "lost")
	_, number, err := net.SplitHostPort(d.temporal.Address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	d.env = append(d.env, "EXPORT_GRACE=0s")
	_, url := d.api(t)
	worker := d.worker(t)
	db := openDatabase(t, d.database)
	c := d.tenant(t, url, 2_000)
	finished := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	digest := c.digest(t, finished)
	repair := replaceBucket(t, filepath.Join(d.dir, "bucket"))
	running := c.create(t, "format=csv")
	await.True(t, time.Minute, "the export is PROCESSING", func() bool { return c.get(t, running.ID).Status == "PROCESSING" })
	if err := syscall.Kill(d.temporal.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-d.temporal.Done()
	accepted := c.create(t, "format=csv")
	repair()
	// Start the server with an empty folder, so that it knows no workflow.
	startTemporal(t, devstack.TemporalOptions{Dir: newDir(t, "lost-again"), Port: port})
	worker.stop(t)
	d.worker(t)

	for _, e := range []object{running, accepted} {
		same(t, "a file", c.digest(t, c.ready(t, e.ID, 3*time.Minute)), digest)
	}
	same(t, "the file of an older export", c.digest(t, finished), digest)
	execute(t, db, `UPDATE memexport.exports SET expires_at = now() - interval '1 s' WHERE id = $1`, finished.ID)
	await.True(t, 2*time.Minute, "the older export is EXPIRED and purged", func() bool {
		return c.get(t, finished.ID).Status == "EXPIRED" && len(objects(t, filepath.Join(d.dir, "bucket"), finished.ID)) == 0
	})
}

func TestADatabaseThatIsRestoredToAnEarlierTime(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "earlier")
	d.env = append(d.env, "EXPORT_GRACE=0s")
	bucket := filepath.Join(d.dir, "bucket")
	api, url := d.api(t)
	worker := d.worker(t)
	db := openDatabase(t, d.database)
	c := d.tenant(t, url, 2_000)
	finished := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	digest := c.digest(t, finished)
	deleted := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	repair := replaceBucket(t, bucket)
	running := []object{c.create(t, "format=csv"), c.create(t, "format=csv")}
	for _, e := range running {
		await.True(t, time.Minute, "the export is PROCESSING", func() bool { return c.get(t, e.ID).Status == "PROCESSING" })
	}
	restore := backup(t, db)

	repair()
	for _, e := range running {
		c.ready(t, e.ID, 2*time.Minute)
	}
	c.do(t, "DELETE", "/v1/exports/"+deleted.ID).want(t, 204)
	await.True(t, time.Minute, "the deleted export is purged", func() bool { return len(objects(t, bucket, deleted.ID)) == 0 })
	later := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	api.stop(t)
	worker.stop(t)
	restore()
	_, url = d.api(t)
	d.worker(t)
	c.client = c.at(url)

	same(t, "the file of an older export", c.digest(t, finished), digest)
	c.do(t, "GET", "/v1/exports/"+later.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	// The deleted export is back, but its objects are not.
	same(t, "the status of the deleted export", c.get(t, deleted.ID).Status, "READY")
	c.do(t, "GET", "/v1/exports/"+deleted.ID+"/download").problem(t, 410, "EXPORT_FILE_LOST")
	c.do(t, "DELETE", "/v1/exports/"+deleted.ID).want(t, 204)
	c.do(t, "GET", "/v1/exports/"+deleted.ID).want(t, 404)

	// The workflows sleep until their exports expire, but the restored rows say that the exports are still
	// being written.
	temporal, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	if err := temporal.TerminateWorkflow(t.Context(), "export-"+running[0].ID, "", "the database was restored"); err != nil {
		t.Fatal(err)
	}
	await.True(t, 2*time.Minute, "the export whose workflow was terminated is FAILED", func() bool {
		e := c.get(t, running[0].ID)
		return e.Status == "FAILED" && e.Error.Code == "TERMINATED"
	})
	_, err = temporal.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{Namespace: "default", Reason: "the database was restored",
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: "export-" + running[1].ID}, WorkflowTaskFinishEventId: 4, RequestId: "1"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the file after a reset", c.digest(t, c.ready(t, running[1].ID, time.Minute)), digest)
}

// replaceBucket puts a file where the bucket is, so that nothing can be stored or read, until repair is called.
func replaceBucket(t *testing.T, bucket string) (repair func()) {
	t.Helper()
	err := os.Rename(bucket, bucket+".away")
	if err == nil {
		err = os.WriteFile(bucket, nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		err := os.Remove(bucket)
		if err == nil {
			err = os.Rename(bucket+".away", bucket)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// backup copies the tables of the service, and returns a function that puts the copies back.
func backup(t *testing.T, db *sql.DB) (restore func()) {
	t.Helper()
	var tables []string
	rows, err := db.QueryContext(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'memexport'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `CREATE SCHEMA backup`)
	for _, table := range tables {
		execute(t, db, `CREATE TABLE backup.`+table+` AS TABLE memexport.`+table)
	}
	return func() {
		t.Helper()
		var statements []string
		for _, table := range tables {
			statements = append(statements, `DELETE FROM memexport.`+table, `INSERT INTO memexport.`+table+` OVERRIDING SYSTEM VALUE SELECT * FROM backup.`+table)
		}
		// With this setting, Postgres checks no foreign keys and runs no triggers.
		execute(t, db, `BEGIN; SET LOCAL session_replication_role = replica; `+strings.Join(statements, "; ")+`; COMMIT`)
	}
}
