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

// PostgresOptions says where and how Postgres runs.
type PostgresOptions struct {
	// Dir is the directory of the stack, created when missing: see the package comment. When root
	// starts Postgres, which then runs as another user, and that user cannot reach Dir, the data
	// directory is /var/tmp/memexport-<hash of Dir>/postgres instead, and Log says so.
	Dir string
	// Port on 127.0.0.1. 0 takes the port of last time if it is free, else any free one.
	Port int
	// Fast is for tests: no fsync, so that a crash of the machine loses data. A crash or kill -9 of
	// Postgres does not. It also takes less memory.
	Fast bool
	// SharedBuffers is the setting shared_buffers, such as 6GB. Defaults to 256MB, or 64MB if Fast.
	SharedBuffers string
	// Log gets progress lines for people, formatted as by fmt.Printf and without a newline.
	// Defaults to silence.
	Log func(format string, args ...any)
}

// Postgres is a running server.
type Postgres struct {
	// URL connects to the database memexport as its superuser, without a password:
	// postgres://memexport@127.0.0.1:<port>/memexport?sslmode=disable, for lib/pq and psql alike.
	URL string
	// Port on 127.0.0.1.
	Port int
	// PID of the postmaster, for tests that kill it.
	PID int
	// Version is the major version, such as "15".
	Version string
	// DataDir is where the data really is: Dir/postgres, or elsewhere for root (see PostgresOptions).
	DataDir string
	// LogFile is what the server writes to.
	LogFile string

	process *process.Process
}

// StartPostgres starts Postgres on Dir and returns once it accepts connections and the database
// memexport exists. The data of earlier runs is kept. It waits, up to a minute, for the server of
// a killed run that still shuts down. Its binaries come from PATH, else from the usual places of
// the system's packages, else they are downloaded into the user's cache.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	cluster, err := openCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	request := portRequest{of: "Postgres", want: o.Port, flag: "--postgres-port",
		file: filepath.Join(cluster.base, "postgres.port")}
	deadline := time.Now().Add(previousRunTimeout)
	return retryStart(ctx, func() (*Postgres, error) {
		port, err := request.pick(ctx)
		if err != nil {
			return nil, err
		}
		p, err := cluster.serve(ctx, port, o)
		for err != nil && strings.Contains(err.Error(), "pre-existing shared memory block") && time.Now().Before(deadline) {
			// The postmaster of a killed run is gone, its backends are about to follow.
			time.Sleep(100 * time.Millisecond)
			p, err = cluster.serve(ctx, port, o)
		}
		if err == nil {
			request.keep(port)
		}
		return p, err
	})
}

// Done is closed when the server is gone, whoever ended it.
func (p *Postgres) Done() <-chan struct{} { return p.process.Done() }

// Err says why the server is gone, with the last lines of its log. It is nil while it runs and
// after Stop.
func (p *Postgres) Err() error { return p.process.Err() }

// Stop shuts the server down: open connections are cut, the data is written. Half a minute later
// it is killed, which is an error but loses no data. Stopping twice is harmless.
func (p *Postgres) Stop() error { return p.process.Stop() }

// serve runs the server of the cluster on port.
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
		// Its own file and not a connection: another server could answer on this port.
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
		"unix_socket_directories=", // the path of a socket is limited to about 100 bytes
		"max_connections=100",
		"timezone=UTC", // or results would differ from machine to machine
		"log_timezone=UTC",
	}
	buffers := cmp.Or(o.SharedBuffers, "256MB")
	if o.Fast {
		// Not synchronous_commit=off or full_page_writes=off: without fsync they gain next to nothing,
		// and commits would be lost, or pages torn, when a test kills the server.
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
