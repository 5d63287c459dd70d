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
	"slices"
	"strconv"
	"strings"
	"sync"
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

// stack is the service and its servers. The service reaches the servers only through proxies. This process reaches
// them directly.
type stack struct {
	dir, program      string
	bucket, bucketURL string           // bucket is the directory, if the store is one
	store             *devstack.Server // nil if the store is a directory
	storeProxy        *proxy
	keep              bool
	tell              func(format string, args ...any)

	postgresOptions devstack.PostgresOptions
	temporalOptions devstack.TemporalOptions
	postgres        *devstack.Postgres
	temporal        *devstack.Temporal
	postgresProxy   *proxy
	temporalProxy   *proxy
	db              *sqlx.DB      // over a direct connection
	operator        client.Client // over a direct connection
	environment     []string      // of the service
	apis, workers   []*member
}

// startStack starts everything. If it returns a stack, the caller must close the stack, even after an error.
func startStack(ctx context.Context, o options, say func(string, ...any)) (s *stack, err error) {
	s = &stack{dir: o.keep, program: o.program, keep: o.keep != "", tell: say}
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
	if s.program == "" {
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
	s.postgresOptions = devstack.PostgresOptions{Dir: s.dir, Port: ports[0], SharedBuffers: "64MB", Log: s.tell}
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
	if s.temporalProxy, err = newProxy(s.temporal.Address); err != nil {
		return err
	}
	if s.db, err = postgres.Open(s.postgres.URL, 16); err != nil {
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
		"DATABASE_URL="+database.String(), "TEMPORAL_ADDRESS="+s.temporalProxy.address, "BUCKET_URL="+s.bucketURL,
		"EXPORT_RETENTION="+retention.String(), "EXPORT_GRACE="+grace.String(), "RECONCILE_EVERY=2s", "SWEEP_EVERY=10s",
		"EXPORT_WORKSPACE_UNFINISHED=12", "WORKER_CONCURRENCY=4", "STOP_TIMEOUT=8s", "STOP_DELAY=1s", "ADMIN_ADDR=off", "LOG_LEVEL=debug")
	for i := range 2 {
		number, err := port.Restartable()
		if err != nil {
			return err
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
		s.apis = append(s.apis, &member{name: fmt.Sprintf("api-%d", i+1), stack: s, command: "api", address: address})
		s.workers = append(s.workers, &member{name: fmt.Sprintf("worker-%d", i+1), stack: s, command: "worker"})
	}
	for _, m := range s.members() {
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
	for _, p := range []*proxy{s.postgresProxy, s.temporalProxy, s.storeProxy} {
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
		_ = s.temporal.Stop() // a server that had to be killed leaves nothing behind either
	}
	if s.postgres != nil {
		_ = s.postgres.Stop()
	}
	if !s.keep {
		if err := devstack.Clean(s.dir, nil); err != nil {
			s.tell("the directory %s stays: %v", s.dir, err)
		}
	}
}

// member is one process of the service, which can be started again.
type member struct {
	name, command string
	address       string // of an API
	stack         *stack

	mu      sync.Mutex
	process *process.Process
	down    bool // the nemesis wants it to stay down
}

// start starts the process unless it runs.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		select {
		case <-m.process.Done():
		default:
			return nil
		}
	}
	cmd := exec.Command(m.stack.program, m.command)
	cmd.Dir = m.stack.dir
	cmd.Env = append(m.stack.environment, "HTTP_ADDR="+m.address)
	if m.address == "" {
		cmd.Env = m.stack.environment
	}
	m.down = false
	var err error
	m.process, err = process.Start(cmd, process.Options{Name: m.name, Log: filepath.Join(m.stack.dir, m.name+".log")})
	return err
}

func (m *member) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		m.down = true
		m.process.Kill()
	}
}

// terminate asks the process to stop and returns when it has stopped.
func (m *member) terminate() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	return m.process.Stop()
}

func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process.Signal(s)
}

// ended says how the process ended by itself, or returns nil.
func (m *member) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || m.process == nil {
		return nil
	}
	return m.process.Err()
}

// supervise starts processes again that have ended by themselves, as systemd or Kubernetes does. A process ends if
// it finds no database when it starts.
func (w *world) supervise(ctx context.Context) {
	for pause(ctx, time.Second) {
		for _, m := range w.members() {
			err := m.ended()
			if err == nil {
				continue
			}
			w.count("starts that failed")
			if !strings.Contains(err.Error(), "does not answer") && !strings.Contains(err.Error(), "the bucket") {
				w.violate("", "a process ended by itself: %v", err)
			}
			if err := m.start(); err != nil {
				w.violate("", "%s cannot be started, so the test has failed: %v", m.name, err)
			}
		}
	}
}

func (s *stack) members() []*member { return slices.Concat(s.apis, s.workers) }

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
