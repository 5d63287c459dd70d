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

	postgresStartTimeout = 2 * time.Minute  // crash recovery can take this long
	postgresStopGrace    = 30 * time.Second // the last checkpoint can take this long
)

// PostgresOptions configure where and how Postgres runs.
type PostgresOptions struct {
	// Dir is the stack's directory. It is created when missing: see the package comment. Postgres refuses
	// to run as root. If root starts it, Postgres runs as another user. If that user cannot enter Dir, the
	// data directory is /var/tmp/memexport-<hash of Dir>/postgres instead of Dir/postgres, and a message
	// to Log says so.
	Dir string
	// Port is the port on 127.0.0.1. If Port is 0, Postgres gets the port of the last run if that port is
	// free, and otherwise any free port.
	Port int
	// Fast is for tests. Postgres runs without fsync: a crash of the machine can lose data, but a
	// crash or kill -9 of Postgres cannot. Postgres also takes less memory.
	Fast bool
	// SharedBuffers is the setting shared_buffers, such as 6GB. Defaults to 256MB, or 64MB if Fast.
	SharedBuffers string
	// Env are further environment variables of the server, in the form NAME=value.
	Env []string
	// Log prints a progress message. It takes the arguments of fmt.Printf, with a format that contains
	// no newline. Log may be nil.
	Log func(format string, args ...any)
}

// Postgres is a running server.
type Postgres struct {
	// URL connects to the database memexport as a superuser and contains the password. It has the form
	// postgres://memexport:<password>@127.0.0.1:<port>/memexport?sslmode=disable, which works with lib/pq
	// and psql.
	URL string
	// Port is the port on 127.0.0.1.
	Port int
	// PID is the process id of the postmaster, which some tests kill.
	PID int
	// Version is the major version, such as "15".
	Version string
	// DataDir is the data directory: Dir/postgres, or another one if root started Postgres (see
	// PostgresOptions.Dir).
	DataDir string
	// LogFile is the path of the server's log.
	LogFile string

	process *process.Process
}

// StartPostgres starts Postgres in Dir. It returns once Postgres accepts connections and the database
// memexport exists. The data of earlier runs is kept. If the server of a killed run is still shutting
// down, StartPostgres waits for that server for up to a minute. StartPostgres looks for the Postgres
// programs on PATH, and then in the usual directories of packages. If it finds none, it downloads them
// into the user's cache.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	c, err := openCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	request := portRequest{server: "Postgres", want: o.Port, flag: "--postgres-port",
		file: filepath.Join(c.base, "postgres.port")}
	deadline := time.Now().Add(previousRunTimeout)
	return retryStart(ctx, func() (*Postgres, error) {
		port, err := request.pick(ctx)
		if err != nil {
			return nil, err
		}
		p, err := c.serve(ctx, port, o)
		for err != nil && strings.Contains(err.Error(), "pre-existing shared memory block") && time.Now().Before(deadline) {
			// The postmaster of a killed run has ended, but its backends have not exited yet. Try again
			// after a pause.
			time.Sleep(100 * time.Millisecond)
			p, err = c.serve(ctx, port, o)
		}
		if err == nil {
			request.keep(port)
		}
		return p, err
	})
}

// Done is closed when the server has ended, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.process.Done() }

// Err says why the server has ended and shows the end of its log. Err returns nil while the server runs,
// and after Stop.
func (p *Postgres) Err() error { return p.process.Err() }

// Stop shuts the server down: Postgres closes open connections and writes its data to disk. If that
// takes more than half a minute, Stop kills the server and returns an error. No data is lost. A
// second Stop does nothing.
func (p *Postgres) Stop() error { return p.process.Stop() }

// serve starts the cluster's server on the port and returns when the server is ready.
func (c *cluster) serve(ctx context.Context, port int, o PostgresOptions) (*Postgres, error) {
	cmd := exec.Command(c.binaries.postgres, serverArgs(c.data, port, o)...)
	cmd.Dir = c.data
	cmd.Env = append(postgresEnv(), o.Env...)
	c.account.apply(cmd)
	log := filepath.Join(c.base, "postgres.log")
	child, err := process.Start(cmd, process.Options{Name: "postgres", Log: log, Grace: postgresStopGrace,
		// SIGINT requests a fast shutdown. After SIGTERM, Postgres would wait until all clients
		// disconnect.
		StopSignal: syscall.SIGINT, OrphanSignal: syscall.SIGINT})
	if err != nil {
		return nil, err
	}
	p := &Postgres{URL: c.url(port, postgresDatabase), Port: port, PID: child.PID(),
		Version: c.binaries.major, DataDir: c.data, LogFile: log, process: child}
	if err := c.waitReady(ctx, p); err != nil {
		return nil, startError(errors.Join(err, child.Stop()), child.Output())
	}
	return p, nil
}

// waitReady waits until p accepts connections, and creates the database.
func (c *cluster) waitReady(ctx context.Context, p *Postgres) error {
	ctx, cancel := context.WithTimeoutCause(ctx, postgresStartTimeout,
		fmt.Errorf("it accepts no connections after %v", postgresStartTimeout))
	defer cancel()
	err := p.process.WaitReady(ctx, func(context.Context) error {
		// Read the server's own file instead of connecting, because another server might answer on
		// this port.
		if status, ok := readPostmaster(p.DataDir); !ok || status.pid != p.PID || !status.ready {
			return errors.New("postmaster.pid does not say ready")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.createDatabase(ctx, p.Port)
}

func serverArgs(data string, port int, o PostgresOptions) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // no Unix socket, because its path may not exceed about 100 bytes
		"max_connections=100",
		"timezone=UTC", // so that results are the same on every machine
		"log_timezone=UTC",
	}
	buffers := cmp.Or(o.SharedBuffers, "256MB")
	if o.Fast {
		// Do not set synchronous_commit=off and full_page_writes=off. They would hardly make this faster,
		// and with them a killed server could lose commits or leave torn pages.
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

func (c *cluster) url(port int, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", postgresUser, c.password, port, database)
}
