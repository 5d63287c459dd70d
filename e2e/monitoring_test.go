//go:build monitoring

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/port"
)

// monitored is a deployment that a real Prometheus scrapes, with the alerts of deploy/prometheus.
type monitored struct {
	*deployment
	*prometheus
	postgres int // the postmaster
	url      string
	api      *command
	worker   *command
	tenant   tenant
	began    time.Time
	fired    []firing
}

// firing records that an alert fired, the fault that caused it, and how long after the fault the alert fired.
type firing struct {
	alert, fault string
	after        time.Duration
}

// poison is the text of a memory. newMonitored creates a view, from which exports read the memories. Postgres
// fails when it reads this memory from the view.
const poison = "poison"

func newMonitored(t *testing.T) *monitored {
	t.Helper()
	dir := newDir(t, "monitoring")
	server := startPostgres(t, dir)
	number, err := port.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	temporal := startTemporal(t, devstack.TemporalOptions{Dir: dir, Port: number})
	m := &monitored{postgres: server.PID, began: time.Now(), deployment: &deployment{dir: dir, database: server.URL, temporal: temporal, env: []string{
		"DATABASE_URL=" + server.URL, "BUCKET_URL=file://" + dir + "/bucket", "TEMPORAL_ADDRESS=" + temporal.Address, "HTTP_ADDR=127.0.0.1:0",
		"WORKER_CONCURRENCY=2", "RECONCILE_EVERY=2s", "SWEEP_EVERY=2s", "EXPORT_STUCK_AFTER=5s", "EXPORT_GRACE=0s",
		"EXPORT_WORKSPACE_RUNNING=8", "MEMORIES_TABLE=shown", "STOP_DELAY=0s"}}}
	mustRun(t, m.env, "migrate")
	mustRun(t, m.env, "demo", "--memories", "100")
	execute(t, openDatabase(t, m.database), `CREATE VIEW shown AS SELECT id, CASE WHEN memory = '`+poison+`' THEN memory::int::text ELSE memory END AS memory,
		user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	m.prometheus = startPrometheus(t, dir)
	m.api, m.url = m.deployment.api(t)
	m.startWorker(t)
	m.prometheus.scrapes(t, "api", m.api)
	m.tenant = m.deployment.tenant(t, m.url, 60_000)
	return m
}

func (m *monitored) startWorker(t *testing.T, env ...string) {
	t.Helper()
	m.worker = m.deployment.worker(t, env...)
	m.prometheus.scrapes(t, "worker", m.worker)
}

// cause waits until none of the alerts fires. Then it calls inject, which causes the fault, and waits until
// every alert has fired. If while is not nil, cause calls while() repeatedly during this second wait.
func (m *monitored) cause(t *testing.T, fault string, inject, while func(), alerts ...string) {
	t.Helper()
	await.True(t, 3*time.Minute, "these alerts are silent before "+fault+": "+strings.Join(alerts, ", "), func() bool {
		time.Sleep(200 * time.Millisecond)
		return !slices.ContainsFunc(m.firing(t), func(name string) bool { return slices.Contains(alerts, name) })
	})
	began := time.Now()
	inject()
	for time.Since(began) < 2*time.Minute && len(alerts) > 0 {
		if while != nil {
			while()
		}
		time.Sleep(200 * time.Millisecond)
		for _, name := range m.firing(t) {
			if i := slices.Index(alerts, name); i >= 0 {
				alerts = slices.Delete(slices.Clone(alerts), i, i+1)
				m.fired = append(m.fired, firing{name, fault, time.Since(began)})
				t.Logf("%s fires %s after %s", name, time.Since(began).Round(time.Second), fault)
			}
		}
	}
	if len(alerts) > 0 {
		t.Errorf("these alerts do not fire after %s: %s", fault, strings.Join(alerts, ", "))
	}
}

// load uses the service for 25 seconds without causing a fault. It creates exports of all formats, downloads
// their files, and sends some requests that the API rejects.
func (m *monitored) load(t *testing.T) {
	t.Helper()
	unknown := newClient(m.url, strings.Replace(m.tenant.key, m.tenant.key[20:30], "abcdefghij", 1))
	for until := time.Now().Add(25 * time.Second); time.Now().Before(until); {
		for format := range formats {
			e := m.tenant.ready(t, m.tenant.create(t, "format="+format).ID, time.Minute)
			m.tenant.digest(t, e)
			m.tenant.do(t, "GET", "/v1/exports").want(t, 200)
			m.tenant.do(t, "GET", "/v1/exports/"+strings.Repeat("0", 8)+e.ID[8:]).want(t, 404)
			m.tenant.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
		}
		unknown.do(t, "GET", "/v1/exports").want(t, 401)
	}
}

// The test uses the service and causes faults. Meanwhile every query of the dashboards must return something,
// with the exceptions in quiet, and every alert must fire because of its fault. The test shortens the times in
// the rules and changes nothing else.
func TestMonitoring(t *testing.T) {
	m := newMonitored(t)
	m.load(t)
	same(t, "alerts that fire without a fault", strings.Join(m.firing(t), ", "), "")
	m.showPanels(t)

	m.causeFaultsOfTheAPI(t)
	m.causeFaultsOfExports(t)
	m.causeFaultsOfTheBucket(t)
	m.causeFaultsOfServers(t)
	m.causeFaultsOfWorkflows(t)

	labels := m.labelsSince(t, m.began)
	for _, q := range panelQueries(t) {
		checkNames(t, "the panel "+q.panel, q.expr, labels)
	}
	m.checkPanels(t, m.began)
	for _, a := range m.alerts(t) {
		checkNames(t, "the alert "+a.Name, a.Query, labels)
		if !slices.ContainsFunc(m.fired, func(f firing) bool { return f.alert == a.Name }) {
			t.Errorf("no fault of this test fires the alert %s", a.Name)
		}
	}
	t.Log("| alert | fault | seconds |")
	for _, f := range m.fired {
		t.Logf("| %s | %s | %.0f |", f.alert, f.fault, f.after.Seconds())
	}
}
