package e2e

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/runbook"
)

// operationsPage is docs/operations.md.
var operationsPage = sync.OnceValues(func() ([]byte, error) { return os.ReadFile("../docs/operations.md") })

// refuses fails the test unless memexport ends with exit code 1 and prints a message with all of
// the parts. If the command is a process of the service, docs/operations.md must explain the message.
func refuses(t *testing.T, env, args []string, parts ...string) {
	t.Helper()
	code, stdout, stderr := finish(t, env, args...)
	same(t, "exit code of "+strings.Join(args, " "), code, 1)
	says(t, "memexport "+strings.Join(args, " "), stderr, parts...)
	if strings.Contains(stderr, "panic") || strings.Contains(stderr, "goroutine") || stdout != "" {
		t.Errorf("memexport %s prints more than a message:\n%s%s", strings.Join(args, " "), stdout, stderr)
	}
	if !slices.Contains([]string{"api", "worker", "migrate", "health"}, args[0]) {
		return
	}
	text, err := operationsPage()
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut("\n"+stderr, "\nmemexport: ")
	if !slices.ContainsFunc(runbook.Messages(string(text), "Messages at the start"), func(m runbook.Message) bool { return m.In(last) }) {
		t.Errorf("docs/operations.md does not explain what memexport %s says: %s", strings.Join(args, " "), last)
	}
}

func TestAllMistakesInTheEnvironmentAreReportedTogether(t *testing.T) {
	for _, command := range []string{"api", "worker"} {
		refuses(t, []string{"EXPORT_RETENTION=3 days"}, []string{command}, "DATABASE_URL", "BUCKET_URL", "EXPORT_RETENTION", "72h")
	}
	refuses(t, []string{"DATABASE_URL=postgres://127.0.0.1:1/x", "BUCKET_URL=ftp://x", "EXPORT_GRACE=-1s", "HTTP_ADDR=8080", "LOG_LEVEL=loud",
		"EXPORT_PARALLEL=0", "WORKER_CONCURRENCY=many", "RECONCILE_EVERY=1ms"}, []string{"worker"},
		"BUCKET_URL", "EXPORT_GRACE", "HTTP_ADDR", "LOG_LEVEL", "EXPORT_PARALLEL", "WORKER_CONCURRENCY", "RECONCILE_EVERY")
	refuses(t, nil, []string{"migrate"}, "DATABASE_URL")
	refuses(t, nil, []string{"keys", "list"}, "DATABASE_URL")
	code, _, stderr := finish(t, nil, "nonsense")
	if code != 2 || !strings.Contains(stderr, "nonsense") {
		t.Errorf("memexport nonsense ended with %d:\n%s", code, stderr)
	}
}

func TestAPasswordIsNeverInAMessage(t *testing.T) {
	t.Parallel()
	const password = "Tr0ub4dor"
	for _, url := range []string{
		"postgres://user:" + password + "@127.0.0.1:1/x?sslmode=disable",     // nothing listens there
		"postgres://user:" + password + "@127.0.0.1:port/x",                  // the port is not a number
		"postgres://user:" + password + "%zz@127.0.0.1:1/x",                  // the password is not percent-encoded correctly
		"postgres://user:" + password + "@127.0.0.1:1/x?sslmode=nonsense",    // unknown sslmode
		"host=127.0.0.1 port=1 user=user password=" + password + " nonsense", // malformed keyword/value string
		"mysql://user:" + password + "@127.0.0.1:1/x",
	} {
		for _, variable := range []string{"DATABASE_URL", "MEMORIES_DATABASE_URL"} {
			env := []string{variable + "=" + url}
			args := []string{"migrate"}
			if variable == "MEMORIES_DATABASE_URL" {
				env, args = append(env, "DATABASE_URL=postgres://127.0.0.1:1/x"), []string{"demo"}
			}
			t.Run(variable, func(t *testing.T) {
				t.Parallel() // a server that refuses connections may be starting, so memexport waits for 15 seconds
				code, stdout, stderr := finish(t, env, args...)
				if code != 1 || !strings.Contains(stderr, variable) || strings.Contains(stdout+stderr, password) {
					t.Errorf("memexport %v with the %s %s ended with %d:\n%s", args, variable, url, code, stderr)
				}
			})
		}
	}
}

func TestDevNamesTheTakenPortOrDirectory(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	ports := []string{"--http", "127.0.0.1:0", "--temporal-port", "0", "--ui-port", "0"}
	dir := newDir(t, "taken")
	dev := func(args ...string) []string { return append(append([]string{"dev", "--dir", dir}, ports...), args...) }
	refuses(t, nil, dev("--http", "127.0.0.1:"+port), port, "--http")
	s := sharedStack(t)
	refuses(t, nil, dev("--dir", s.dir), strconv.Itoa(s.PID()), "--dir")
	s.client().do(t, "GET", "/readyz").want(t, 200) // the failed starts have not disturbed the running stack
}

func TestTheServiceRefusesToStartWhereItCannotWork(t *testing.T) {
	server := startPostgres(t, newDir(t, "startup"))
	admin := openDatabase(t, server.URL)
	url := func(name string) string {
		execute(t, admin, `CREATE DATABASE `+name)
		return strings.Replace(server.URL, "/memexport?", "/"+name+"?", 1)
	}
	bucket := "BUCKET_URL=file://" + newDir(t, "startup-bucket")

	fresh := "DATABASE_URL=" + url("fresh")
	for _, args := range [][]string{{"api"}, {"worker"}, {"keys", "list"}} {
		refuses(t, []string{fresh, bucket}, args, "memexport migrate")
	}
	refuses(t, []string{fresh + "&default_transaction_read_only=on"}, []string{"migrate"}, "DATABASE_URL is read-only", "fail-over")
	mustRun(t, []string{fresh}, "migrate")
	if again := mustRun(t, []string{fresh}, "migrate"); !strings.Contains(again, "0 migrations") {
		t.Errorf("a second migrate prints %q", again)
	}
	refuses(t, []string{fresh, bucket}, []string{"worker"}, "MEMORIES_TABLE", `"memories"`)
	refuses(t, []string{fresh, bucket, "MEMORIES_TABLE=other.memories"}, []string{"worker"}, "MEMORIES_TABLE", "other.memories")
	refuses(t, []string{fresh, bucket, "MEMORIES_TABLE=x; DROP TABLE y"}, []string{"worker"}, "MEMORIES_TABLE")

	db := openDatabase(t, strings.TrimPrefix(fresh, "DATABASE_URL="))
	execute(t, db, `CREATE TABLE public.memories (id uuid, memory text, priority int, workspace_id uuid)`)
	refuses(t, []string{fresh, bucket}, []string{"worker"}, "MEMORIES_TABLE", "user_id", "created_at", "priority", "categories")
	refuses(t, []string{fresh}, []string{"demo"}, "not made by the demo")
	execute(t, db, `DROP TABLE public.memories`)
	mustRun(t, []string{fresh}, "demo", "--memories", "10")
	execute(t, db, `DROP INDEX memories_keyset`)
	refuses(t, []string{fresh, bucket}, []string{"worker"}, "CREATE INDEX", "(workspace_id, created_at, id)")

	refuses(t, []string{fresh, "BUCKET_URL=file:///dev/null/x"}, []string{"api"}, "BUCKET_URL")
	refuses(t, []string{fresh, bucket, "TEMPORAL_TLS_SERVER_CA_CERT_PATH=/nowhere"}, []string{"api"}, "TEMPORAL_", "/nowhere")
	refuses(t, []string{fresh, bucket, "HTTP_ADDR=192.0.2.1:80"}, []string{"api"}, "HTTP_ADDR", "192.0.2.1") // no machine has this address
	refuses(t, []string{strings.Replace(fresh, "sslmode=disable", "sslmode=verify-full&sslrootcert=/nowhere", 1)}, []string{"migrate"}, "DATABASE_URL", "sslmode", "/nowhere")
	refuses(t, []string{"ADMIN_ADDR=127.0.0.1:1"}, []string{"health"}, "ADMIN_ADDR", "--url")
	refuses(t, []string{fresh}, []string{"keys", "create", "--workspace", "acme", "--name", "x", "--permission", "export.read"}, "acme", "UUID")
	refuses(t, []string{fresh}, []string{"keys", "create", "--workspace", "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22", "--name", "x", "--permission", "root"}, "root")
	refuses(t, []string{fresh}, []string{"keys", "revoke", "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"}, "keys list")
}

// startPostgres starts a Postgres server and stops it at the end of the test.
func startPostgres(t *testing.T, dir string) *devstack.Postgres {
	t.Helper()
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir, Fast: true, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}
