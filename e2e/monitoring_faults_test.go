//go:build monitoring

package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/pgtest"
)

func (m *monitored) causeFaultsOfTheAPI(t *testing.T) {
	var limit unix.Rlimit
	setFiles := func(n uint64) {
		limit.Cur = n
		if err := unix.Prlimit(m.api.PID(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Prlimit(m.api.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	before := limit.Cur
	m.cause(t, "the API may open only one file more", func() {
		open, err := os.ReadDir("/proc/" + strconv.Itoa(m.api.PID()) + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		setFiles(uint64(len(open)) + 1)
	}, nil, "MemexportFilesNearLimit")
	setFiles(before)

	limited, url := m.deployment.api(t, "API_REQUESTS_PER_SECOND=1")
	impatient := m.tenant.at(url)
	m.cause(t, "a client ignores Retry-After", func() { m.prometheus.scrapes(t, "limited", limited) }, func() {
		for range 20 {
			impatient.do(t, "GET", "/v1/exports")
		}
	}, "MemexportLimitsHit")
	m.prometheus.forget(t, "limited")
	limited.stop(t)
}

func (m *monitored) causeFaultsOfExports(t *testing.T) {
	db := openDatabase(t, m.database)
	poisoned := m.deployment.tenant(t, m.url, 0)
	insert(t, db, awkwardMemories(poisoned.workspace, []string{poison}, []string{"2025-01-01T00:00:00.000000Z"}))
	m.cause(t, "a memory that Postgres cannot show", func() { poisoned.create(t, "format=csv") }, nil, "MemexportExportsFail")

	var release func()
	var waiting []object
	m.cause(t, "the table of the memories is locked", func() {
		release = blockReading(t, db)
		for range 4 {
			waiting = append(waiting, m.tenant.create(t, "format=csv"))
		}
	}, nil, "MemexportWorkersBusy", "MemexportExportsTooOld")
	release()
	for _, e := range waiting {
		m.tenant.ready(t, e.ID, 2*time.Minute)
	}

	c := m.dialTemporal(t)
	toggle := func(pause bool) {
		for _, id := range []string{"memexport-reconcile", "memexport-sweep"} {
			handle := c.ScheduleClient().GetHandle(t.Context(), id)
			err := handle.Unpause(t.Context(), temporalclient.ScheduleUnpauseOptions{})
			if pause {
				err = handle.Pause(t.Context(), temporalclient.SchedulePauseOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	m.cause(t, "both schedules are paused", func() { toggle(true) }, nil, "MemexportReconcilerLate", "MemexportSweeperLate")
	toggle(false)
}

func (m *monitored) dialTemporal(t *testing.T) temporalclient.Client {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: m.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (m *monitored) causeFaultsOfTheBucket(t *testing.T) {
	bucket := filepath.Join(m.dir, "bucket")
	db := openDatabase(t, m.database)
	old := m.tenant.ready(t, m.tenant.create(t, "format=csv").ID, time.Minute)
	expired := m.tenant.ready(t, m.tenant.create(t, "format=csv").ID, time.Minute)
	var failing []object
	var repair func()
	m.cause(t, "the bucket is replaced by a file", func() {
		repair = replaceBucket(t, bucket)
		for range 4 {
			failing = append(failing, m.tenant.create(t, "format=json"))
		}
		execute(t, db, `UPDATE memexport.exports SET expires_at = now() - interval '1 day' WHERE id = $1`, expired.ID)
	}, func() {
		m.tenant.do(t, "GET", "/v1/exports/"+old.ID+"/download")
		// A purge counts as overdue ten minutes after the export became EXPIRED. Pretend that this was a day ago.
		execute(t, db, `UPDATE memexport.exports SET updated_at = now() - interval '1 day' WHERE id = $1 AND status = 'EXPIRED'`, expired.ID)
	},
		"MemexportPartsRetried", "MemexportExportsStuck", "MemexportAPIErrors", "MemexportPurgesOverdue")
	repair()
	for _, e := range failing {
		m.tenant.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	}

	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); spoil(bucket, stop) }()
	m.cause(t, "the bucket changes a byte of each part", func() {
		for range 4 {
			m.tenant.create(t, "format=json")
		}
	}, nil, "MemexportVerificationFails")
	close(stop)
	<-done

	full := m.deployment.worker(t, "EXPORT_STORAGE=1KB")
	m.cause(t, "EXPORT_STORAGE is reached", func() { m.prometheus.scrapes(t, "full", full) }, nil, "MemexportStoreFull")
	m.prometheus.forget(t, "full")
	full.stop(t)
}

// spoil changes the first byte of every new part, until stop is closed.
func spoil(bucket string, stop <-chan struct{}) {
	paths, _ := filepath.Glob(filepath.Join(bucket, "exports", "*", "*"))
	seen := map[string]bool{}
	for _, path := range paths {
		seen[path] = true
	}
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		paths, _ := filepath.Glob(filepath.Join(bucket, "exports", "*", "*"))
		for _, path := range paths {
			if seen[path] {
				continue
			}
			seen[path] = true
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteAt([]byte("!"), 0) // a part that is gone already needs no change
				f.Close()
			}
		}
	}
}

func (m *monitored) causeFaultsOfServers(t *testing.T) {
	var thaw func()
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.cause(t, "Postgres hangs (SIGSTOP)", func() {
		thaw = pgtest.FreezeServer(t, m.postgres)
		for range 40 {
			group.Go(func() {
				for ctx.Err() == nil {
					_, _ = m.tenant.try(ctx, "GET", "/v1/exports") // ignore the response, because the metrics count it
				}
			})
		}
	}, nil, "MemexportDatabaseAway", "MemexportAPIErrors", "MemexportAPISlow", "MemexportDatabasePoolWait", "MemexportAPINotReady", "MemexportWorkersNotReady")
	cancel()
	group.Wait()
	thaw()

	m.cause(t, "Temporal is killed", func() {
		if err := syscall.Kill(m.temporal.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-m.temporal.Done()
	}, func() { m.tenant.do(t, "POST", "/v1/exports?format=csv").want(t, 202) }, "MemexportTemporalRequestsFail")
	_, number, err := net.SplitHostPort(m.temporal.Address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.LookupPort("tcp", number)
	if err != nil {
		t.Fatal(err)
	}
	m.temporal = startTemporal(t, devstack.TemporalOptions{Dir: m.dir, Port: port})
	m.tenant.ready(t, m.tenant.create(t, "format=csv").ID, 3*time.Minute)

	m.cause(t, "the only worker hung for 15 seconds (SIGSTOP)", func() {
		m.worker.Signal(syscall.SIGSTOP)
		for range 4 { // the first task goes to a poll that is already waiting, the others to the queue
			m.tenant.create(t, "format=csv")
		}
		time.Sleep(15 * time.Second)
		m.worker.Signal(syscall.SIGCONT)
	}, nil, "MemexportWorkflowTasksWait")

	m.cause(t, "the only worker is killed (SIGKILL)", func() {
		m.worker.Signal(syscall.SIGKILL)
		<-m.worker.Done()
	}, nil, "MemexportTargetDown", "MemexportNoPollers")
	m.startWorker(t)
}

func (m *monitored) causeFaultsOfWorkflows(t *testing.T) {
	m.worker.stop(t)
	c := m.dialTemporal(t)
	other := worker.New(c, "memexport", worker.Options{})
	slept := make(chan struct{}, 1)
	other.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		slept <- struct{}{}
		return workflow.Sleep(ctx, 8*time.Second)
	}, workflow.RegisterOptions{Name: "Export"})
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	e := m.tenant.create(t, "format=csv")
	receive(t, slept, "another build runs the first task of the export")
	time.Sleep(2 * time.Second) // give the result of the task time to reach Temporal
	other.Stop()
	m.cause(t, "another build began the workflow with other steps", func() { m.startWorker(t) }, nil, "MemexportWorkflowTasksFail")
	await.True(t, time.Minute, "a dashboard can show the rate of the failures", func() bool { // it takes two scrapes
		return len(m.query(t, `rate(temporal_workflow_task_execution_failed_total[`+window+`])`)) > 0
	})
	if err := c.TerminateWorkflow(t.Context(), "export-"+e.ID, "", "the test is over"); err != nil {
		t.Fatal(err)
	}

	m.worker.stop(t)
	m.cause(t, "the build of the only worker is not current", func() {
		m.startWorker(t, "WORKER_DEPLOYMENT_NAME=memexport", "WORKER_BUILD_ID=next")
	}, nil, "MemexportBuildNotCurrent")
	m.worker.stop(t)

	m.cause(t, "a worker keeps only two of eight workflows in memory", func() {
		m.startWorker(t, "WORKER_CACHED_WORKFLOWS=2")
	}, func() {
		var running []object
		for range 8 {
			running = append(running, m.tenant.create(t, "format=csv"))
		}
		for _, e := range running {
			m.tenant.ready(t, e.ID, time.Minute)
		}
	}, "MemexportWorkflowCacheMisses")
	m.worker.stop(t)

	var held object
	m.cause(t, "a proxy before Temporal refuses large messages", func() {
		m.startWorker(t, "TEMPORAL_ADDRESS="+proxyTemporal(t, m.temporal.Address, func(method string, size int) error {
			if method != "RespondWorkflowTaskCompleted" || size < 100 {
				return nil
			}
			return status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. 100)", size) // as grpc-go says it
		}))
		held = m.tenant.create(t, "format=csv")
	}, nil, "MemexportMessageTooLarge")
	m.worker.stop(t)
	m.startWorker(t)
	await.True(t, 2*time.Minute, "Temporal has terminated the workflow, so the export is FAILED", func() bool {
		e := m.tenant.get(t, held.ID)
		return e.Status == "FAILED" && e.Error.Code == "TERMINATED"
	})
	m.worker.stop(t)

	var refused *client
	m.cause(t, "Temporal refuses starts and polls", func() {
		address := proxyTemporal(t, m.temporal.Address, func(method string, _ int) error {
			if method != "StartWorkflowExecution" && method != "PollActivityTaskQueue" {
				return nil
			}
			return serviceerror.ToStatus(serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "namespace rate limit exceeded")).Err()
		})
		api, url := m.deployment.api(t, "TEMPORAL_ADDRESS="+address)
		m.prometheus.scrapes(t, "refused", api)
		m.startWorker(t, "TEMPORAL_ADDRESS="+address)
		refused = m.tenant.at(url)
	}, func() { refused.do(t, "POST", "/v1/exports?format=csv").want(t, 202) }, "MemexportTemporalResourceExhausted")
	m.prometheus.forget(t, "refused")
	m.cause(t, "the only API is stopped", func() { m.api.stop(t) }, nil, "MemexportNoAPI")
}
