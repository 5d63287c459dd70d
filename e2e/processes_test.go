package e2e

import (
	"bytes"
	"context"
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

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
)

// deployment is the service as it runs in production: its processes share only a database, a
// Temporal server and a bucket.
type deployment struct {
	env      []string
	dir      string
	database string
	postgres *devstack.Postgres
	temporal *devstack.Temporal
}

func newDeployment(t *testing.T, name string) *deployment {
	t.Helper()
	dir := newDir(t, name)
	postgres := startPostgres(t, dir)
	database := postgres.URL
	temporal := startTemporal(t, devstack.TemporalOptions{Dir: dir})
	d := &deployment{dir: dir, database: database, postgres: postgres, temporal: temporal, env: []string{
		"DATABASE_URL=" + database, "BUCKET_URL=file://" + filepath.Join(dir, "bucket"), "TEMPORAL_ADDRESS=" + temporal.Address,
		"HTTP_ADDR=127.0.0.1:0", "EXPORT_PARALLEL=4", "WORKER_CONCURRENCY=2", "RECONCILE_EVERY=2s", "LOG_LEVEL=debug"}}
	mustRun(t, d.env, "migrate")
	mustRun(t, d.env, "demo", "--memories", "100")
	return d
}

var listening = regexp.MustCompile(`"msg":"api listening","address":"([^"]+)"`)

// api starts an API process. It returns the process and its URL.
func (d *deployment) api(t *testing.T, env ...string) (*command, string) {
	t.Helper()
	p := launch(t, append(d.env, env...), "api")
	return p, apiURL(t, p)
}

// apiURL waits until an API process listens and returns its URL.
func apiURL(t *testing.T, p *command) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	match, err := p.WaitOutput(ctx, listening)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + match[1]
}

// worker starts a worker process and returns when the worker is ready for tasks.
func (d *deployment) worker(t *testing.T, env ...string) *command {
	t.Helper()
	p := launch(t, append(d.env, env...), "worker")
	p.wantSays(t, "worker started")
	return p
}

// tenant creates a workspace with memories, and a client with an API key for that workspace.
func (d *deployment) tenant(t *testing.T, url string, memories int) tenant {
	t.Helper()
	workspace := uuid.NewString()
	if memories > 0 {
		generate(t, openDatabase(t, d.database), workspace, memories, 33)
	}
	return tenant{client: newClient(url, createKey(t, d.database, workspace, "export.read", "export.write")), workspace: workspace}
}

// writers reads Temporal's history of an export. It returns how many ranges each worker process
// started to write, and how many activities failed by a timeout, for example because a heartbeat
// was missing.
func (d *deployment) writers(t *testing.T, exportID string) (writers map[string]int, timeouts int) {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	scheduled := map[int64]bool{}
	writers = map[string]int{}
	history := c.GetWorkflowHistory(t.Context(), "export-"+exportID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil && a.ActivityType.Name == "WriteRange" {
			scheduled[event.EventId] = true
		}
		if a := event.GetActivityTaskStartedEventAttributes(); a != nil {
			if scheduled[a.ScheduledEventId] {
				writers[a.Identity]++
			}
			if a.GetLastFailure().GetTimeoutFailureInfo() != nil {
				timeouts++
			}
		}
		if event.GetActivityTaskTimedOutEventAttributes() != nil {
			timeouts++
		}
	}
	return writers, timeouts
}

func TestWorkersShareAnExportAndAnyProcessMayStop(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "processes")
	api, url := d.api(t)
	first := d.worker(t)
	c := d.tenant(t, url, 510_000)

	began := time.Now()
	alone := c.ready(t, c.create(t, "format=json").ID, 5*time.Minute)
	t.Logf("one worker exported %d memories, %d bytes, in %s", alone.MemoryCount, *alone.SizeBytes, time.Since(began).Round(time.Millisecond))
	writers, _ := d.writers(t, alone.ID)
	same(t, "workers that wrote", len(writers), 1)
	digest := c.digest(t, alone)

	second := d.worker(t)
	shared := c.ready(t, c.create(t, "format=json").ID, 5*time.Minute)
	writers, _ = d.writers(t, shared.ID)
	t.Logf("ranges by worker: %v", writers)
	same(t, "workers that wrote", len(writers), 2)
	same(t, "the file of two workers", c.digest(t, shared), digest)

	handedOver, at := c.createUntil(t, "format=json", 10)
	began = time.Now()
	first.Signal(syscall.SIGTERM)
	first.wantCode(t, 0)
	t.Logf("a worker was stopped at %d %%, in %s", at, time.Since(began).Round(time.Millisecond))
	handedOver = c.ready(t, handedOver.ID, 5*time.Minute)
	t.Logf("the other worker had finished the export %s after that signal", time.Since(began).Round(time.Millisecond))
	// A worker that is stopped hands over its ranges at once. Otherwise other workers would get the
	// ranges only after a heartbeat timeout.
	_, timeouts := d.writers(t, handedOver.ID)
	same(t, "activities that timed out", timeouts, 0)
	same(t, "the file that was handed over", c.digest(t, handedOver), digest)

	download := c.open(t, handedOver.ID)
	sum := sha256.New()
	if _, err := io.CopyN(sum, download.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	api.Signal(syscall.SIGTERM)
	await.True(t, 10*time.Second, "the API takes no more requests", func() bool {
		_, err := c.try(t.Context(), "GET", "/healthz", "Connection", "close")
		return err != nil
	})
	if _, err := io.Copy(sum, download.Body); err != nil {
		t.Error("a download broke when its API was stopped:", err)
	}
	same(t, "the file that was being downloaded", hex.EncodeToString(sum.Sum(nil)), digest)
	api.wantCode(t, 0)
	second.Signal(syscall.SIGTERM)
	second.wantCode(t, 0)
}

func TestAFailureDoesNotShowAMemory(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "failure")
	db := openDatabase(t, d.database)
	const secret = "xyzzy-plugh-failure"
	c := d.tenant(t, "", 0)
	insert(t, db, awkwardMemories(c.workspace, []string{"fine", secret}, []string{"2025-01-01T00:00:00.000000Z"}))
	// The error from Postgres contains the value that it cannot convert, which is the secret.
	execute(t, db, `CREATE VIEW poisoned AS SELECT id, CASE WHEN memory = '`+secret+`' THEN memory::int::text ELSE memory END AS memory,
		user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	api, url := d.api(t)
	c.client = c.at(url)
	worker := d.worker(t, "MEMORIES_TABLE=poisoned")
	e := c.create(t, "format=csv")
	await.True(t, time.Minute, "the export is FAILED", func() bool { e = c.get(t, e.ID); return e.Status == "FAILED" })
	if e.Error == nil || e.Error.Code != "SOURCE_INVALID" || e.Error.Retryable || e.SizeBytes != nil || e.ExpiresAt != nil {
		t.Errorf("the failed export is %+v, %+v", e, e.Error)
	}
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 409, "EXPORT_FAILED")
	await.True(t, time.Minute, "no object is left", func() bool { return len(objects(t, filepath.Join(d.dir, "bucket"), e.ID)) == 0 })

	absent(t, "the log of the worker", []byte(worker.Output()), secret, c.key)
	absent(t, "the log of the API", []byte(api.Output()), secret, c.key)
	absent(t, "an answer", c.answers(), secret, c.key)
	absentFromFiles(t, d.dir, "temporal*", secret, c.key)
	if !strings.Contains(worker.Output(), "22P02") {
		t.Errorf("the log of the worker does not have the error code of Postgres:\n%s", worker.Output())
	}
}

// answers returns all responses that the client has received, except files.
func (c *client) answers() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.seen.Bytes())
}

// absentFromFiles fails the test if a file that matches the pattern contains one of the texts, or
// if no file matches. It returns how many bytes it searched.
func absentFromFiles(t *testing.T, dir, pattern string, texts ...string) (searched int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if gone(err) { // SQLite creates and deletes journals while Temporal runs
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found = true
		searched += len(content)
		absent(t, path, content, texts...)
	}
	if !found {
		t.Fatalf("there is no file %s in %s", pattern, dir)
	}
	return searched
}

// absent fails the test if the content contains one of the texts. The parameter where names the
// content in the message.
func absent(t *testing.T, where string, content []byte, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			t.Errorf("%s contains %q: %q", where, text, content[max(0, at-300):min(len(content), at+300)])
		}
	}
}
