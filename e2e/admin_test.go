package e2e

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// health is the answer of an admin port to /readyz.
type health struct {
	Status  string
	Problem string
	Version string
	Parts   map[string]struct {
		Ready   bool
		Problem string
	}
}

// readiness asks an admin port whether its process is ready.
func readiness(t *testing.T, url string) (status int, h health) {
	t.Helper()
	a := newClient(url, "").do(t, "GET", "/readyz")
	if err := json.Unmarshal(a.body, &h); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return a.status, h
}

func TestTheAdminPortOfDevAnswersForBothParts(t *testing.T) {
	s := sharedStack(t)
	status, h := readiness(t, s.admin)
	if status != 200 || h.Status != "ready" || h.Version == "" || len(h.Parts) != 2 || !h.Parts["api"].Ready || !h.Parts["worker"].Ready {
		t.Errorf("/readyz answers %d, %+v", status, h)
	}
	newClient(s.admin, "").do(t, "GET", "/healthz").want(t, 200)
	newClient(s.admin, s.key).do(t, "GET", "/v1/exports").want(t, 404)
	newClient(s.url, s.key).do(t, "GET", "/metrics").want(t, 404)
}

func TestATakenAdminPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	env := []string{"DATABASE_URL=postgres://127.0.0.1:1/x", "BUCKET_URL=file://" + t.TempDir(), "ADMIN_ADDR=" + address}
	for _, command := range []string{"api", "worker"} {
		refuses(t, env, []string{command}, "ADMIN_ADDR", address, "off")
	}
}

func TestHealthFollowsTemporalAndTheDatabase(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "health")
	worker, api := launch(t, d.env, "worker"), launch(t, append(d.env, "STOP_DELAY=3s"), "api")
	workerURL, operators := adminURL(t, worker), adminURL(t, api)
	wantHealth := func(url, problem string) { // an empty problem means that the process is ready
		t.Helper()
		await.True(t, time.Minute, "the problem is "+strconv.Quote(problem), func() bool {
			began := time.Now()
			status, h := readiness(t, url)
			if took := time.Since(began); took > 10*time.Second { // the limit is 4 s, and a busy machine may need more
				t.Errorf("/readyz took %s", took)
			}
			return (status == 200) == (problem == "") && strings.Contains(h.Problem, problem)
		})
	}
	publicURL := apiURL(t, api)
	wantHealth(workerURL, "")
	wantHealth(operators, "")
	newClient(workerURL, "").do(t, "GET", "/metrics").want(t, 200)
	if code, out, _ := finish(t, nil, "health", "--url", workerURL); code != 0 || !strings.Contains(out, "ready: memexport worker") {
		t.Errorf("memexport health ends with %d and prints %q", code, out)
	}

	resume := freeze(t, d.temporal.PID)
	wantHealth(workerURL, "does not answer in time")
	wantHealth(operators, "") // the API accepts exports while Temporal is away
	if code, _, stderr := finish(t, nil, "health", "--url", workerURL); code != 1 || !strings.Contains(stderr, "TEMPORAL_ADDRESS") {
		t.Errorf("memexport health ends with %d and prints %q", code, stderr)
	}
	resume()
	wantHealth(workerURL, "")
	const again = "Temporal can be used again" // the worker logs it after it has become ready
	await.True(t, time.Minute, "the worker logs "+again, func() bool { return strings.Contains(worker.Output(), again) })
	for _, told := range []string{"Temporal cannot be used", again} {
		if n := strings.Count(worker.Output(), told); n != 1 {
			t.Errorf("the worker has logged %q %d times:\n%s", told, n, worker.Output())
		}
	}

	resume = freeze(t, d.postgres.PID)
	wantHealth(workerURL, "worker: ")
	wantHealth(operators, "api: ")
	newClient(operators, "").do(t, "GET", "/healthz").want(t, 200)
	resume()
	wantHealth(workerURL, "")
	wantHealth(operators, "")

	setReadOnly := func(value string) {
		t.Helper()
		db := openDatabase(t, d.database)
		execute(t, db, `ALTER SYSTEM SET default_transaction_read_only = `+value)
		execute(t, db, `SELECT pg_reload_conf()`)
	}
	setReadOnly("on")
	wantHealth(workerURL, "worker: the database in DATABASE_URL is read-only")
	await.True(t, time.Minute, "the API says that the database is read-only, and is ready", func() bool {
		a := newClient(operators, "").do(t, "GET", "/readyz")
		return a.status == 200 && strings.Contains(string(a.body), "read-only")
	})
	setReadOnly("off")
	wantHealth(workerURL, "")
	wantHealth(operators, "")

	public := newClient(publicURL, "")
	public.do(t, "GET", "/readyz").want(t, 200)
	api.Signal(syscall.SIGTERM)
	await.True(t, 2*time.Second, "the public port says that the API is not ready", func() bool {
		a, err := public.try(t.Context(), "GET", "/readyz", "Connection", "close")
		return err == nil && a.status == 503
	})
	wantHealth(operators, "the process is stopping")
	api.wantCode(t, 0)
	worker.Signal(syscall.SIGTERM)
	worker.wantCode(t, 0)
}

// freeze stops a process and its children until resume is called or the test ends: they keep their connections
// and answer nothing.
func freeze(t *testing.T, pid int) (resume func()) {
	t.Helper()
	frozen := []int{pid}
	signal := func(s syscall.Signal) {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, s) // it fails only if the process has ended
		}
	}
	signal(syscall.SIGSTOP) // a stopped process starts no more children
	for _, child := range descendants(t, pid) {
		frozen = append(frozen, child.pid)
	}
	signal(syscall.SIGSTOP)
	resume = func() { signal(syscall.SIGCONT) }
	t.Cleanup(resume)
	return resume
}
