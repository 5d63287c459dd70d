package e2e

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
)

// grants returns the SQL code blocks in a section of docs/security.md, in order.
func grants(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Least privilege in Postgres\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) != 3 {
		t.Fatalf("the section has %d blocks of SQL, want 3", len(blocks))
	}
	return blocks
}

func TestTheServiceRunsWithTheGrantsOfThePage(t *testing.T) {
	t.Parallel()
	dir := newDir(t, "roles")
	super := startPostgres(t, dir).URL
	as := func(role string) string {
		t.Helper()
		u, err := url.Parse(super)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("memexport_"+role, "choose-one-for-"+role)
		return u.String()
	}
	temporal := startTemporal(t, devstack.TemporalOptions{Dir: dir})
	admin := openDatabase(t, super)
	sqlOf := grants(t)
	execute(t, admin, sqlOf[0])
	granted, err := os.ReadFile("../internal/service/postgres/grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the page's SQL, beside internal/service/postgres/grants.sql", sqlOf[1], string(granted))
	execute(t, admin, `REVOKE CREATE ON DATABASE memexport FROM memexport_migrate`)
	const grant = `GRANT CREATE ON DATABASE "memexport" TO "memexport_migrate";`
	refuses(t, []string{"DATABASE_URL=" + as("migrate")}, []string{"migrate"}, grant)
	execute(t, admin, grant)
	mustRun(t, []string{"DATABASE_URL=" + as("migrate")}, "migrate")
	refuses(t, []string{"DATABASE_URL=" + as("api")}, []string{"migrate"}, `set DATABASE_URL to the role "memexport_migrate"`)
	mustRun(t, []string{"DATABASE_URL=" + super}, "demo", "--memories", "100")
	bucket := "BUCKET_URL=file://" + filepath.Join(dir, "bucket")
	for role, lacks := range map[string]string{"api": "memexport.api_keys", "worker": "memexport.export_ranges"} {
		refuses(t, []string{bucket, "DATABASE_URL=" + as(role)}, []string{role},
			`GRANT USAGE ON SCHEMA memexport TO "memexport_`+role+`";`, "ON "+lacks+` TO "memexport_`+role+`";`)
	}
	// The command must also succeed when it is run again, as every upgrade does.
	for range 2 {
		mustRun(t, []string{"DATABASE_URL=" + as("migrate")}, "migrate", "--api-role", "memexport_api", "--worker-role", "memexport_worker")
	}
	const owner = "set DATABASE_URL to the role that ran `memexport migrate`"
	refuses(t, []string{"DATABASE_URL=" + as("worker")}, []string{"keys", "list"}, owner)
	refuses(t, []string{"DATABASE_URL=" + as("api")}, []string{"audit"}, owner)
	refuses(t, []string{bucket, "DATABASE_URL=" + as("worker")}, []string{"workspaces", "erase", "--yes", uuid.NewString()}, owner)
	refuses(t, []string{bucket, "DATABASE_URL=" + as("worker")}, []string{"worker"}, "MEMORIES_TABLE", `GRANT SELECT ON public.memories TO "memexport_worker";`)
	execute(t, admin, sqlOf[2])

	d := &deployment{dir: dir, database: as("migrate"), temporal: temporal, env: []string{
		bucket, "TEMPORAL_ADDRESS=" + temporal.Address, "HTTP_ADDR=127.0.0.1:0",
		"EXPORT_RETENTION=20s", "EXPORT_GRACE=0s", "EXPORT_HISTORY=1s", "AUDIT_RETENTION=1s", "RECONCILE_EVERY=2s", "SWEEP_EVERY=2s"}}
	api, address := d.api(t, "DATABASE_URL="+as("api"))
	worker := d.worker(t, "DATABASE_URL="+as("worker"))
	workspace := uuid.NewString()
	generate(t, admin, workspace, 500, 33)
	c := newClient(address, createKey(t, d.database, workspace, "export.read", "export.write"))

	expiring := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	deleted := c.ready(t, c.create(t, "format=json&user_id=user-1", "Idempotency-Key", "k").ID, time.Minute)
	c.digest(t, deleted)
	c.do(t, "GET", "/v1/exports").want(t, 200)
	c.do(t, "DELETE", "/v1/exports/"+deleted.ID).want(t, 204)
	await.True(t, 2*time.Minute, "all rows and events are swept", func() bool {
		var left int
		err := admin.QueryRow(`SELECT (SELECT count(*) FROM memexport.exports WHERE workspace_id = $1) + (SELECT count(*) FROM memexport.audit)`, workspace).Scan(&left)
		return err == nil && left == 0
	})
	c.do(t, "GET", "/v1/exports/"+expiring.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	for _, p := range []*command{api, worker} {
		absent(t, "the log", []byte(p.Output()), "permission denied", "42501")
	}

	c.create(t, "format=csv") // create a row, because the statements below need one
	for role, statements := range map[string][]string{
		"api": {
			`SELECT FROM memories`, `SELECT FROM memexport.audit`, `DELETE FROM memexport.audit`, `UPDATE memexport.audit SET action = 'x'`,
			`TRUNCATE memexport.audit`, `ALTER TABLE memexport.audit DISABLE TRIGGER USER`,
			`DELETE FROM memexport.exports`, `UPDATE memexport.exports SET workspace_id = gen_random_uuid()`, `UPDATE memexport.exports SET filter = '{}'`,
			`UPDATE memexport.exports SET status = 'READY'`, `INSERT INTO memexport.api_keys SELECT * FROM memexport.api_keys`,
			`UPDATE memexport.api_keys SET permissions = '{export.write}'`, `UPDATE memexport.api_keys SET revoked_at = NULL`, `DELETE FROM memexport.api_keys`,
			`INSERT INTO memexport.export_parts SELECT * FROM memexport.export_parts`, `CREATE TABLE memexport.mine ()`, `CREATE SCHEMA mine`,
		},
		"worker": {
			`SELECT FROM memexport.api_keys`, `INSERT INTO memexport.exports SELECT * FROM memexport.exports`,
			`INSERT INTO memexport.audit (action, workspace_id, address, request_id) VALUES ('x', gen_random_uuid(), '', '')`,
			`UPDATE memexport.audit SET action = 'x'`, `TRUNCATE memexport.audit`,
			`UPDATE memories SET memory = ''`, `DELETE FROM memories`, `CREATE TABLE memexport.mine ()`,
		},
		"migrate": {`SELECT FROM memories`, `CREATE ROLE mine`, `CREATE DATABASE mine`},
	} {
		db := openDatabase(t, as(role))
		for _, statement := range statements {
			wantDenied(t, db, role, statement)
		}
	}
}

// wantDenied checks that a role may not run a statement.
func wantDenied(t *testing.T, db *sql.DB, role, statement string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement)
	var refused *pq.Error
	if !errors.As(err, &refused) || refused.Code.Name() != "insufficient_privilege" {
		t.Errorf("%s: %s: %v", role, statement, err)
	}
}
