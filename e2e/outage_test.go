package e2e

import (
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/port"
)

// startTemporal starts a Temporal server and stops it at the end of the test.
func startTemporal(t *testing.T, o devstack.TemporalOptions) *devstack.Temporal {
	t.Helper()
	o.Headless, o.Log = true, t.Logf
	server, err := devstack.StartTemporal(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // ignore the error, since the test may have killed the server
	return server
}

func TestExportsAreAcceptedWhileTemporalIsDownAndFinishLater(t *testing.T) {
	t.Parallel()
	dir := newDir(t, "outage")
	temporalPort, err := port.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	temporal := startTemporal(t, devstack.TemporalOptions{Dir: dir, Port: temporalPort})
	s := newDev(t, devOptions{dir: dir, memories: 100, env: []string{"TEMPORAL_ADDRESS=" + temporal.Address, "RECONCILE_EVERY=2s"}})
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 1000, 100)
	want := table(t, s.db, c.workspace, "")

	// When Temporal is killed, this export has just started or is about to start.
	release := blockReading(t, s.db)
	underWay := c.create(t, "format=json")
	if err := syscall.Kill(temporal.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-temporal.Done()
	release()

	var accepted []object
	for _, format := range []string{"json", "csv", "parquet"} {
		began := time.Now()
		e := c.create(t, "format="+format, "Idempotency-Key", "during the outage, "+format)
		if took := time.Since(began); took > 5*time.Second || e.Status != "PENDING" {
			t.Errorf("a POST without Temporal was answered with %s after %s", e.Status, took)
		} else {
			t.Logf("a POST without Temporal was answered after %s", took.Round(time.Millisecond))
		}
		accepted = append(accepted, e)
	}
	again := c.create(t, "format=json", "Idempotency-Key", "during the outage, json")
	same(t, "the export of a repeated request", again.ID, accepted[0].ID)
	cancelled := c.create(t, "format=csv")
	began := time.Now()
	c.do(t, "DELETE", "/v1/exports/"+cancelled.ID).want(t, 204)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a DELETE without Temporal was answered after %s", took)
	}
	same(t, "exports in the list", c.list(t, "").Meta.Total, 4)
	accepted = append(accepted, burst(t, s, c, temporal.Address)...)
	c.do(t, "GET", "/v1/exports/"+accepted[0].ID+"/download").problem(t, 409, "EXPORT_NOT_READY")
	c.do(t, "GET", "/readyz").want(t, 200) // the API is ready, because it can accept exports without Temporal

	began = time.Now()
	startTemporal(t, devstack.TemporalOptions{Dir: dir, Port: temporalPort})
	// Query the database instead of the API, because a request to the API could start the exports.
	await.True(t, 3*time.Minute, "every accepted export is READY", func() bool {
		var open int
		if err := s.db.QueryRow(`SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND deleted_at IS NULL AND status <> 'READY'`,
			c.workspace).Scan(&open); err != nil {
			t.Fatal(err)
		}
		return open == 0
	})
	t.Logf("all of them were READY %s after Temporal was started", time.Since(began).Round(time.Millisecond))
	for _, e := range append(accepted, underWay) {
		checkFile(t, c.client, c.get(t, e.ID), want)
	}
	c.do(t, "GET", "/v1/exports/"+cancelled.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	await.True(t, time.Minute, "the deleted export is settled", func() bool {
		var status string
		if err := s.db.QueryRow(`SELECT status FROM memexport.exports WHERE id = $1`, cancelled.ID).Scan(&status); err != nil {
			t.Fatal(err)
		}
		return status == "FAILED" && len(s.objects(t, cancelled.ID)) == 0
	})
}

// burst sends many requests at once to an API process that has never reached Temporal. It fails the
// test if requests wait for each other.
func burst(t *testing.T, s *stack, c tenant, temporal string) []object {
	t.Helper()
	p := launch(t, []string{"DATABASE_URL=" + s.database, "BUCKET_URL=file://" + filepath.Join(s.dir, "bucket"), "HTTP_ADDR=127.0.0.1:0",
		"TEMPORAL_ADDRESS=" + temporal}, "api")
	other := c.at(apiURL(t, p))
	const requests = 20
	var group sync.WaitGroup
	var mu sync.Mutex
	var made []object
	var longest time.Duration
	for range requests {
		group.Go(func() {
			began := time.Now()
			a, err := other.try(t.Context(), "POST", "/v1/exports?format=csv")
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, took)
			if err != nil || a.status != 202 {
				t.Errorf("%v, %+v", err, a)
				return
			}
			made = append(made, a.export(t))
		})
	}
	group.Wait()
	t.Logf("%d POSTs at once to an API that never reached Temporal were answered after at most %s", requests, longest.Round(time.Millisecond))
	if longest > 15*time.Second { // each waits for 2 s, so one after the other they would take 40 s
		t.Errorf("one of %d POSTs at once without Temporal was answered after %s", requests, longest)
	}
	return made
}
