package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"memexport/internal/workshop/process"
)

const (
	postgresDatabase = "memexport"
	postgresUser     = "memexport" // superuser of the cluster

	postgresStartTimeout = 2 * time.Minute  // crash recovery included
	postgresStopGrace    = 30 * time.Second // its last checkpoint included
)

// PostgresOptions say where and how Postgres runs.
type PostgresOptions struct {
	// Dir is the directory of the stack, created when missing: see the package comment. Postgres
	// refuses to run as root. If root starts it, it runs as another user. If that user cannot enter
	// Dir, the data directory is /var/tmp/memexport-<hash of Dir>/postgres instead, and Log says so.
	Dir string
	// Port on 127.0.0.1. Without one, Postgres gets the port of the last run if that is free, or
	// otherwise any free port.
	Port int
	// Fast is for tests. Postgres runs without fsync: a crash of the machine loses data, but a crash or
	// kill -9 of Postgres does not. It also takes less memory.
	Fast bool
	// SharedBuffers is the setting shared_buffers, such as 6GB. Defaults to 256MB, or 64MB if Fast.
	SharedBuffers string
	// Log gets progress lines for people, formatted as by fmt.Printf and without a newline. It may be
	// nil.
	Log func(format string, args ...any)
}

// Postgres is a running server.
type Postgres struct {
	// URL connects to the database memexport as its superuser, without a password:
	// postgres://memexport@127.0.0.1:<port>/memexport?sslmode=disable, for lib/pq and psql alike.
	URL string
	// Port on 127.0.0.1.
	Port int
	// PID is the process number of the postmaster, for tests that kill it.
	PID int
	// Version is the major version, such as "15".
	Version string
	// DataDir is the data directory: Dir/postgres, or another one for root (see PostgresOptions.Dir).
	DataDir string
	// LogFile is the server's log.
	LogFile string

	process *process.Process
}

// StartPostgres starts Postgres in Dir and returns once it accepts connections and the database
// memexport exists. The data of earlier runs is kept. If the server of a killed run is still shutting
// down, it waits for that, up to a minute. It looks for the programs on PATH and then in the usual
// places of the system's packages. If they are in neither, it downloads them into the user's cache.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	cluster, err := openCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	request := portRequest{server: "Postgres", want: o.Port, flag: "--postgres-port",
		file: filepath.Join(cluster.base, "postgres.port")}
	deadline := time.Now().Add(previousRunTimeout)
	return retryStart(ctx, func() (*Postgres, error) {
		port, err := request.pick(ctx)
		if err != nil {
			return nil, err
		}
		p, err := cluster.serve(ctx, port, o)
		for err != nil && strings.Contains(err.Error(), "pre-existing shared memory block") && time.Now().Before(deadline) {
			// The postmaster of a killed run is gone and its backends are about to exit.
			time.Sleep(100 * time.Millisecond)
			p, err = cluster.serve(ctx, port, o)
		}
		if err == nil {
			request.keep(port)
		}
		return p, err
	})
}

// Done is closed when the server is gone, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.process.Done() }

// Err says why the server is gone, with the end of its log. It is nil while the server runs, and after
// Stop.
func (p *Postgres) Err() error { return p.process.Err() }

// Stop shuts the server down: it cuts open connections and writes the data to disk. A server that
// takes more than half a minute is killed, which is an error but loses no data. Stopping twice is
// harmless.
func (p *Postgres) Stop() error { return p.process.Stop() }

// serve starts the server of the cluster on port and returns when it is ready.
func (c *cluster) serve(ctx context.Context, port int, o PostgresOptions) (*Postgres, error) {
	cmd := exec.Command(c.binaries.postgres, serverArgs(c.data, port, o)...)
	cmd.Dir = c.data
	cmd.Env = postgresEnv()
	c.account.apply(cmd)
	log := filepath.Join(c.base, "postgres.log")
	child, err := process.Start(cmd, process.Options{Name: "postgres", Log: log, Grace: postgresStopGrace,
		// SIGINT is a fast shutdown. SIGTERM would wait for clients that never leave.
		StopSignal: syscall.SIGINT, OrphanSignal: syscall.SIGINT})
	if err != nil {
		return nil, err
	}
	p := &Postgres{URL: postgresURL(port, postgresDatabase), Port: port, PID: child.PID(),
		Version: c.binaries.major, DataDir: c.data, LogFile: log, process: child}
	if err := p.waitReady(ctx); err != nil {
		return nil, startError(errors.Join(err, child.Stop()), child.Output())
	}
	return p, nil
}

func (p *Postgres) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, postgresStartTimeout,
		fmt.Errorf("it accepts no connections after %v", postgresStartTimeout))
	defer cancel()
	err := p.process.WaitReady(ctx, func(context.Context) error {
		// This reads the server's own file, because another server could answer on this port.
		if status, ok := readPostmaster(p.DataDir); !ok || status.pid != p.PID || !status.ready {
			return errors.New("postmaster.pid does not say ready")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return createDatabase(ctx, p.Port)
}

func serverArgs(data string, port int, o PostgresOptions) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // none: the path of a socket may not exceed about 100 bytes
		"max_connections=100",
		"timezone=UTC", // so that results are the same on every machine
		"log_timezone=UTC",
	}
	buffers := cmp.Or(o.SharedBuffers, "256MB")
	if o.Fast {
		// Without fsync, synchronous_commit=off and full_page_writes=off would gain next to nothing, and
		// commits would be lost or pages torn when a test kills the server.
		settings = append(settings, "fsync=off")
		buffers = cmp.Or(o.SharedBuffers, "64MB")
	}
	settings = append(settings, "shared_buffers="+buffers)
	args := []string{"-D", data}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func postgresURL(port int, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", postgresUser, port, database)
}
