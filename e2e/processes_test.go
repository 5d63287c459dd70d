package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/devstack"
)

// deployment is the service as it is deployed: processes that share nothing but a database, a
// Temporal server and a bucket.
type deployment struct {
	env      []string
	dir      string
	database string
	temporal *devstack.Temporal
}

func newDeployment(t *testing.T, name string) *deployment {
	t.Helper()
	dir := newDir(t, name)
	database := startPostgres(t, dir).URL
	temporal := startTemporal(t, devstack.TemporalOptions{Dir: dir})
	d := &deployment{dir: dir, database: database, temporal: temporal, env: []string{
		"DATABASE_URL=" + database, "BUCKET_URL=file://" + filepath.Join(dir, "bucket"), "TEMPORAL_ADDRESS=" + temporal.Address,
		"HTTP_ADDR=127.0.0.1:0", "EXPORT_PARALLEL=4", "WORKER_CONCURRENCY=2", "RECONCILE_EVERY=2s", "LOG_LEVEL=debug"}}
	mustRun(t, d.env, "migrate")
	mustRun(t, d.env, "demo", "--memories", "100")
	return d
}

var listening = regexp.MustCompile(`"msg":"api listening","address":"([^"]+)"`)

// api starts an API process and returns it with its address.
func (d *deployment) api(t *testing.T, env ...string) (*process, string) {
	t.Helper()
	p := launch(t, append(d.env, env...), "api")
	return p, apiURL(t, p)
}

// apiURL waits until an API process listens and returns where.
func apiURL(t *testing.T, p *process) string {
	t.Helper()
	if err := p.says("api listening", time.Minute); err != nil {
		t.Fatal(err)
	}
	match := listening.FindStringSubmatch(p.stderr.String())
	if match == nil {
		t.Fatalf("the log does not say where the API listens:\n%s", p.stderr.String())
	}
	return "http://" + match[1]
}

// worker starts a worker process and waits until it works.
func (d *deployment) worker(t *testing.T, env ...string) *process {
	t.Helper()
	p := launch(t, append(d.env, env...), "worker")
	if err := p.says("worker started", time.Minute); err != nil {
		t.Fatal(err)
	}
	return p
}

// tenant makes a workspace with memories.
func (d *deployment) tenant(t *testing.T, url string, memories int) tenant {
	t.Helper()
	workspace := uuid.NewString()
	if memories > 0 {
		generate(t, openDatabase(t, d.database), workspace, memories, 33)
	}
	return tenant{newClient(url, createKey(t, d.database, workspace, "export.read", "export.write")), workspace}
}

// writers are the processes that have begun to write a range of an export, by what Temporal has
// recorded.
func (d *deployment) writers(t *testing.T, exportID string) map[string]int {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	scheduled, writers := map[int64]bool{}, map[string]int{}
	history := c.GetWorkflowHistory(t.Context(), "export-"+exportID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil && a.ActivityType.Name == "WriteRange" {
			scheduled[event.EventId] = true
		}
		if a := event.GetActivityTaskStartedEventAttributes(); a != nil && scheduled[a.ScheduledEventId] {
			writers[a.Identity]++
		}
	}
	return writers
}

func TestProcessesShareAnExportAndAnyOfThemMayStop(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "processes")
	api, url := d.api(t)
	first := d.worker(t)
	c := d.tenant(t, url, 510_000)

	began := time.Now()
	alone := c.ready(t, c.create(t, "format=json").ID, 5*time.Minute)
	t.Logf("one worker exported %d memories, %d bytes, in %s", alone.MemoryCount, *alone.SizeBytes, time.Since(began).Round(time.Millisecond))
	same(t, "workers that wrote", len(d.writers(t, alone.ID)), 1)
	digest := c.digest(t, alone)

	second := d.worker(t)
	shared := c.ready(t, c.create(t, "format=json").ID, 5*time.Minute)
	writers := d.writers(t, shared.ID)
	t.Logf("ranges by worker: %v", writers)
	same(t, "workers that wrote", len(writers), 2)
	same(t, "the file of two workers", c.digest(t, shared), digest)

	handedOver := c.create(t, "format=json")
	at := c.waitProgress(t, handedOver.ID, 10)
	began = time.Now()
	first.signal(syscall.SIGTERM)
	code, ok := first.wait(time.Minute)
	if !ok || code != 0 {
		t.Fatalf("the worker ended: %t with %d:\n%s", ok, code, first.text())
	}
	t.Logf("a worker was stopped at %d %%, in %s", at, time.Since(began).Round(time.Millisecond))
	// Less than a heartbeat timeout: the worker hands over what it has.
	handedOver = c.ready(t, handedOver.ID, 28*time.Second)
	t.Logf("the other one had finished the export %s after that signal", time.Since(began).Round(time.Millisecond))
	same(t, "the file that was handed over", c.digest(t, handedOver), digest)

	download := c.open(t, handedOver.ID)
	sum := sha256.New()
	if _, err := io.CopyN(sum, download.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	api.signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, "the API takes no more requests", func() bool {
		_, err := c.try(t.Context(), "GET", "/healthz", "Connection", "close")
		return err != nil
	})
	if _, err := io.Copy(sum, download.Body); err != nil {
		t.Error("a download broke off when its API was stopped:", err)
	}
	same(t, "the file that was being downloaded", hex.EncodeToString(sum.Sum(nil)), digest)
	if code, ok := api.wait(time.Minute); !ok || code != 0 {
		t.Errorf("the API ended: %t with %d:\n%s", ok, code, api.text())
	}
	second.signal(syscall.SIGTERM)
	if code, ok := second.wait(time.Minute); !ok || code != 0 {
		t.Errorf("the idle worker ended: %t with %d:\n%s", ok, code, second.text())
	}
}

func TestWhatAFailureSaysHasNoMemoryInIt(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "failure")
	db := openDatabase(t, d.database)
	const secret = "xyzzy-plugh-failure"
	c := d.tenant(t, "", 0)
	insert(t, db, awkwardMemories(c.workspace, []string{"fine", secret}, []string{"2025-01-01T00:00:00.000000Z"}))
	// Postgres quotes in its errors what it stumbles over.
	execute(t, db, `CREATE VIEW poisoned AS SELECT id, CASE WHEN memory = '`+secret+`' THEN memory::int::text ELSE memory END AS memory,
		user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	api, url := d.api(t)
	c.client = c.at(url)
	worker := d.worker(t, "MEMORIES_TABLE=poisoned")
	e := c.create(t, "format=csv")
	eventually(t, time.Minute, "the export is FAILED", func() bool { e = c.get(t, e.ID); return e.Status == "FAILED" })
	if e.Error == nil || e.Error.Code != "SOURCE_INVALID" || e.Error.Retryable || e.SizeBytes != nil || e.ExpiresAt != nil {
		t.Errorf("the failed export is %+v, %+v", e, e.Error)
	}
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 409, "EXPORT_FAILED")
	eventually(t, time.Minute, "no object is left", func() bool { return len(objects(t, filepath.Join(d.dir, "bucket"), e.ID)) == 0 })

	absent(t, "the log of the worker", []byte(worker.text()), secret, c.key)
	absent(t, "the log of the API", []byte(api.text()), secret, c.key)
	absent(t, "an answer", c.answers(), secret, c.key)
	for _, path := range files(t, d.dir, "temporal*") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		absent(t, path, content, secret, c.key)
	}
	if !strings.Contains(worker.text(), "22P02") {
		t.Errorf("the log of the worker does not tell the operator what Postgres said:\n%s", worker.text())
	}
}

// answers are all answers but files that the client has seen.
func (c *client) answers() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.seen.Bytes())
}

// files are those that a pattern of file names finds; there has to be one.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file %s in %s: %v", pattern, dir, err)
	}
	return paths
}

// absent says that none of the texts is anywhere in the content.
func absent(t *testing.T, where string, content []byte, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			t.Errorf("%s has %q in it: %q", where, text, content[max(0, at-300):min(len(content), at+300)])
		}
	}
}
