package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/port"
	"memexport/internal/workshop/process"
)

// The service deletes files early, so that expiry happens within a run.
const (
	retention = 40 * time.Second
	grace     = 5 * time.Second
)

// applicationName is the name under which Postgres knows the connections of this process.
const applicationName = "chaos"

// The limits of a workspace are so low that customers reach them. Only the largest workspace can reach maxStored.
const (
	maxRunning    = 3
	maxUnfinished = 12
	maxStored     = "150MB"
)

// stack is the service and its servers. The service reaches the servers only through proxies. This process reaches
// them directly.
type stack struct {
	dir, program      string
	bucket, bucketURL string                    // bucket is the directory, if the store is one
	disk              string                    // where the disk of the bucket is mounted, if it has one
	refused           atomic.Pointer[time.Time] // until when an export could fail with STORAGE_DENIED
	frozen            atomic.Bool               // whether writes to the disk hang
	clock             string                    // the file that moves the clock of Postgres, or empty
	jumped            atomic.Pointer[time.Time] // until when the clock of Postgres was wrong
	store             *devstack.Server          // nil if the store is a directory
	storeProxy        *proxy
	directURL         string // of the S3 bucket, without the proxy
	keep              bool
	tell              func(format string, args ...any)

	postgresOptions devstack.PostgresOptions
	temporalOptions devstack.TemporalOptions
	postgres        *devstack.Postgres
	temporal        *devstack.Temporal
	postgresProxy   *proxy
	temporalProxies []*proxy      // the first is for the APIs, and each of the others is for one worker
	db              *sqlx.DB      // over a direct connection
	operator        client.Client // over a direct connection
	environment     []string      // of the service
	settings        []string      // further variables of the environment
	unlock          func()        // releases the lock on dir
	apis, workers   []*member
}

// startStack starts everything. If it returns a stack, the caller must close the stack, even after an error.
func startStack(ctx context.Context, o options, say func(string, ...any)) (s *stack, err error) {
	s = &stack{dir: o.keep, program: o.program, keep: o.keep != "", tell: say}
	if o.soak > 0 {
		s.settings = soakSettings
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "memexport-chaos-"); err != nil {
			return nil, err
		}
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	// Postgres refuses to run as root. If root runs chaos, Postgres runs as another user, which must be able to
	// enter the directory.
	if err := errors.Join(os.MkdirAll(s.dir, 0o755), os.Chmod(s.dir, 0o755)); err != nil {
		return s, err
	}
	if s.unlock, err = devstack.Lock(s.dir); err != nil { // Clean deletes only directories that were locked
		return s, err
	}
	if s.program != "" {
		if s.program, err = filepath.Abs(s.program); err != nil {
			return s, err
		}
	} else {
		s.program = filepath.Join(s.dir, "memexport")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", s.program, "memexport/cmd/memexport")
		if _, err := process.Run(ctx, build, process.RunOptions{}); err != nil {
			return s, err
		}
	}
	if err := s.startServers(ctx); err != nil {
		return s, err
	}
	if err := s.startStore(ctx, o.store); err != nil {
		return s, err
	}
	if _, err := s.command(ctx, "migrate"); err != nil {
		return s, err
	}
	if err := demo.CreateTable(ctx, s.db); err != nil {
		return s, err
	}
	return s, s.startService(ctx)
}

func (s *stack) startServers(ctx context.Context) (err error) {
	ports := make([]int, 2)
	for i := range ports {
		if ports[i], err = port.Restartable(); err != nil {
			return err
		}
	}
	environment, err := s.fakeClock()
	if err != nil {
		s.tell("the clock of Postgres never jumps: %v", err)
	}
	s.postgresOptions = devstack.PostgresOptions{Dir: s.dir, Port: ports[0], SharedBuffers: "64MB", Env: environment, Log: s.tell}
	s.temporalOptions = devstack.TemporalOptions{Dir: s.dir, Port: ports[1], Headless: true, Log: s.tell}
	if s.postgres, err = devstack.StartPostgres(ctx, s.postgresOptions); err != nil {
		return err
	}
	if s.temporal, err = devstack.StartTemporal(ctx, s.temporalOptions); err != nil {
		return err
	}
	if s.postgresProxy, err = newProxy(net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))); err != nil {
		return err
	}
	for range 3 {
		p, err := newProxy(s.temporal.Address)
		if err != nil {
			return err
		}
		s.temporalProxies = append(s.temporalProxies, p)
	}
	if s.db, err = postgres.Open(s.postgres.URL+"&application_name="+applicationName, 16); err != nil {
		return err
	}
	s.operator, err = client.NewLazyClient(client.Options{HostPort: s.temporal.Address, Logger: log.NewStructuredLogger(nil)})
	return err
}

// startService starts two APIs and two workers.
func (s *stack) startService(ctx context.Context) error {
	database, err := url.Parse(s.postgres.URL)
	if err != nil {
		return err
	}
	database.Host = s.postgresProxy.address
	s.environment = append(process.CleanEnviron(), "HOME="+s.dir, // an empty home, so that no configuration file for Temporal is read
		"DATABASE_URL="+database.String(), "BUCKET_URL="+s.bucketURL,
		"EXPORT_RETENTION="+retention.String(), "EXPORT_GRACE="+grace.String(), "RECONCILE_EVERY=2s", "SWEEP_EVERY=10s",
		fmt.Sprintf("EXPORT_WORKSPACE_RUNNING=%d", maxRunning), fmt.Sprintf("EXPORT_WORKSPACE_UNFINISHED=%d", maxUnfinished), "EXPORT_WORKSPACE_STORAGE="+maxStored,
		"WORKER_CONCURRENCY=4", "STOP_TIMEOUT=8s", "STOP_DELAY=1s", "LOG_LEVEL=debug")
	s.environment = append(s.environment, s.settings...)
	for i := range 2 {
		number, err := port.Restartable()
		if err != nil {
			return err
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
		s.apis = append(s.apis, &member{name: fmt.Sprintf("api-%d", i+1), stack: s, command: "api", address: address,
			environment: []string{"HTTP_ADDR=" + address, "TEMPORAL_ADDRESS=" + s.temporalProxies[0].address}})
		s.workers = append(s.workers, &member{name: fmt.Sprintf("worker-%d", i+1), stack: s, command: "worker",
			environment: []string{"TEMPORAL_ADDRESS=" + s.temporalProxies[1+i].address}})
	}
	for _, m := range s.members() {
		number, err := port.Restartable()
		if err != nil {
			return err
		}
		m.admin = net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
		m.environment = append(m.environment, "ADMIN_ADDR="+m.admin)
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// command runs a command of memexport that needs only the database.
func (s *stack) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.Command(s.program, args...)
	cmd.Env = append(process.CleanEnviron(), "DATABASE_URL="+s.postgres.URL)
	return process.Run(ctx, cmd, process.RunOptions{})
}

func (s *stack) close() {
	for _, m := range s.members() {
		m.kill()
	}
	for _, p := range append(s.temporalProxies, s.postgresProxy, s.storeProxy) {
		if p != nil {
			p.close()
		}
	}
	if s.store != nil {
		s.store.Stop()
	}
	if s.operator != nil {
		s.operator.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.temporal != nil {
		_ = s.temporal.Stop() // an error means that the server was killed, because it did not stop in time
	}
	if s.postgres != nil {
		_ = s.postgres.Stop()
	}
	s.unmountDisk()
	if s.unlock != nil {
		s.unlock()
	}
	if !s.keep {
		if err := devstack.Clean(s.dir, nil); err != nil {
			s.tell("the directory %s stays: %v", s.dir, err)
		}
	}
}

// killPostgres kills the postmaster as the machine's out-of-memory killer would.
func (s *stack) killPostgres() {
	_ = syscall.Kill(s.postgres.PID, syscall.SIGKILL)
	<-s.postgres.Done()
}

func (s *stack) restartPostgres(ctx context.Context) error {
	started, err := devstack.StartPostgres(ctx, s.postgresOptions)
	if err == nil {
		s.postgres = started
	}
	return err
}

func (s *stack) killTemporal() {
	_ = syscall.Kill(s.temporal.PID, syscall.SIGKILL)
	<-s.temporal.Done()
}

func (s *stack) restartTemporal(ctx context.Context) error {
	started, err := devstack.StartTemporal(ctx, s.temporalOptions)
	if err == nil {
		s.temporal = started
	}
	return err
}
