package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/devstack"
	"memexport/workflows"
)

// stack is everything that runs during the benchmark.
type stack struct {
	options
	work       string // a directory for what is removed at the end
	bucket     string // the directory of the file:// bucket: on the disk of psql's output
	psql       string
	loadBefore string

	postgres *devstack.Postgres
	temporal *devstack.Temporal
	db       *sqlx.DB

	binary      string
	environment []string // of api and worker
	api         *process
	workers     []*process
	baseURL     string
	http        *http.Client
	clients     map[string]client // by workspace
	fail        func(error)       // ends the benchmark

	closers []func() error // in the order of starting
}

// passedOn are the variables that reach api and worker; nothing else of the environment does, so
// that the settings of whoever runs the benchmark change nothing unseen.
var passedOn = []string{"PATH", "TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "EXPORT_PARALLEL", "WORKER_CONCURRENCY"}

// start starts everything, one worker included. What it returns is to be closed, also after an
// error.
func start(ctx context.Context, o options, fail func(error)) (*stack, error) {
	s := &stack{options: o, loadBefore: loadAverage(), fail: fail, clients: map[string]client{}}
	if slices.Contains(o.sections, "speed") || slices.Contains(o.sections, "sizes") {
		var err error
		if s.psql, err = findPsql(); err != nil {
			return nil, err
		}
	}
	release, err := devstack.Lock(o.dir)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { release(); return nil })
	if err := s.makeWork(); err != nil {
		return s, err
	}
	say("building memexport")
	s.binary = filepath.Join(s.work, "memexport")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "memexport/cmd/memexport").CombinedOutput(); err != nil {
		return s, fmt.Errorf("build memexport: %w\n%s", err, out)
	}
	if err := s.startServers(ctx); err != nil {
		return s, err
	}
	// The memories come before the migrations: unqualified names go to the schema of the user's name
	// if there is one, and the service's schema, which has it, is dropped at every start.
	if err := s.prepareData(ctx); err != nil {
		return s, err
	}
	if err := s.makeEnvironment(); err != nil {
		return s, err
	}
	migrate := exec.CommandContext(ctx, s.binary, "migrate")
	migrate.Env = s.environment
	if out, err := migrate.CombinedOutput(); err != nil {
		return s, fmt.Errorf("memexport migrate: %w\n%s", err, out)
	}
	s.closers = append(s.closers, s.stopProcesses)
	return s, s.restart(ctx, 1)
}

// makeWork makes the directory for what is removed, and removes those of runs that were killed,
// with all state but the memories: it would only make this run slower.
func (s *stack) makeWork() error {
	for _, pattern := range []string{"work-*", "temporal-*.db*", "*.log"} {
		old, _ := filepath.Glob(filepath.Join(s.dir, pattern)) // errs on a bad pattern only
		for _, path := range old {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	var err error
	if s.work, err = os.MkdirTemp(s.dir, "work-"); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(s.work) })
	s.bucket = filepath.Join(s.work, "bucket")
	return os.Mkdir(s.bucket, 0o755)
}

// startServers starts Postgres and Temporal as `memexport dev` does.
func (s *stack) startServers(ctx context.Context) (err error) {
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: s.dir, SharedBuffers: s.buffers, Log: say})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.postgres.Stop)
	attributes := map[string]string{}
	for name, kind := range workflows.SearchAttributes {
		attributes[name] = kind.String()
	}
	s.temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{Dir: s.dir, SearchAttributes: attributes, Log: say})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.temporal.Stop)
	go func() {
		select {
		case <-s.postgres.Done():
			s.fail(s.postgres.Err())
		case <-s.temporal.Done():
			s.fail(s.temporal.Err())
		case <-ctx.Done():
		}
	}()
	if s.db, err = postgres.Open(s.postgres.URL, 4); err != nil {
		return err
	}
	s.closers = append(s.closers, s.db.Close)
	// Exports of an earlier run belong to a Temporal server that is gone.
	_, err = s.db.ExecContext(ctx, `DROP SCHEMA IF EXISTS memexport CASCADE`)
	return err
}

func (s *stack) makeEnvironment() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String() // every api process of this run gets it
	listener.Close()
	s.baseURL = "http://" + address
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			s.environment = append(s.environment, name+"="+value)
		}
	}
	s.environment = append(s.environment, "HOME="+s.work, // without a configuration file for Temporal
		"DATABASE_URL="+s.postgres.URL, "TEMPORAL_ADDRESS="+s.temporal.Address,
		"BUCKET_URL=file://"+filepath.ToSlash(s.bucket), "HTTP_ADDR="+address,
		"STOP_TIMEOUT=5s", "LOG_LEVEL=warn")
	return nil
}

// restart replaces api and worker by fresh processes, whose memory and caches owe nothing to what
// was measured before, and returns once they work.
func (s *stack) restart(ctx context.Context, workers int) error {
	if err := s.stopProcesses(); err != nil {
		return err
	}
	var err error
	if s.api, err = startProcess("api", s.dir, s.fail, s.environment, s.binary, "api"); err != nil {
		s.api = nil
		return err
	}
	for i := range workers {
		w, err := startProcess(fmt.Sprintf("worker-%d", i+1), s.dir, s.fail, s.environment, s.binary, "worker")
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	// One small export for each worker: a worker has started when it has done one.
	return s.exportTiny(ctx, 2*workers)
}

func (s *stack) waitReady(ctx context.Context) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		response, err := s.http.Get(s.baseURL + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the API is not ready: %w; the end of %s:\n%s", err, s.api.log, tail(s.api.log))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *stack) stopProcesses() error {
	var problems []error
	for _, w := range s.workers {
		problems = append(problems, w.stop())
	}
	if s.api != nil {
		s.http.CloseIdleConnections()
		problems = append(problems, s.api.stop())
	}
	s.workers, s.api = nil, nil
	return errors.Join(problems...)
}

// close ends what was started, the last first.
func (s *stack) close() error {
	var problems []error
	for _, closer := range slices.Backward(s.closers) {
		problems = append(problems, closer())
	}
	return errors.Join(problems...)
}

// resetPeaks begins to measure the memory of api and worker anew, with fresh processes where the
// kernel does not let it.
func (s *stack) resetPeaks(ctx context.Context) error {
	allowed := resetPeak(s.api.pid())
	for _, w := range s.workers {
		allowed = resetPeak(w.pid()) && allowed
	}
	if allowed {
		return nil
	}
	return s.restart(ctx, len(s.workers))
}

// workerPeak is the peak of the worker that needed most.
func (s *stack) workerPeak() int64 {
	var peak int64
	for _, w := range s.workers {
		peak = max(peak, peakMemory(w.pid()))
	}
	return peak
}

// workerCPU is the processor time of all workers.
func (s *stack) workerCPU() time.Duration {
	var total time.Duration
	for _, w := range s.workers {
		total += cpuTime(w.pid(), false)
	}
	return total
}

// postgresCPU is the processor time of the whole server. A backend that is just being reaped would be
// missed, so that two readings have to agree, which they do once the server is idle.
func (s *stack) postgresCPU() time.Duration {
	last := cpuTime(s.postgres.PID, true)
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		now := cpuTime(s.postgres.PID, true)
		if now == last {
			break
		}
		last = now
	}
	return last
}

// without is the environment without the variables that begin with prefix.
func without(prefix string) []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, prefix) })
}
