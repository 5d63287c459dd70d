package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"memexport/internal/workshop/process"
)

const (
	temporalStartTimeout = 90 * time.Second
	temporalStopGrace    = 15 * time.Second
)

// TemporalOptions configure where and how the Temporal dev server runs.
type TemporalOptions struct {
	// Dir is the stack's directory. It is created when missing: see the package comment. Each version of
	// the server has its own state file in Dir, because a server cannot read the file of another version.
	Dir string
	// InMemory is for tests. The server keeps its state in memory and loses it when it ends.
	InMemory bool
	// Port is the port of the gRPC frontend on 127.0.0.1. If Port is 0, Temporal gets the port of the last
	// run if that port is free, and otherwise any free port.
	Port int
	// UIPort is the port of the web UI on 127.0.0.1. If UIPort is 0, a port is chosen in the same way as
	// for Port.
	UIPort int
	// Headless turns the web UI off.
	Headless bool
	// NoFairness turns off Temporal's fairness, which divides the tasks of a queue between fairness keys.
	NoFairness bool
	// Archives is the URL from which the Temporal CLI is downloaded if neither PATH nor the user's cache
	// has it. /v<version>/<file> is appended to the URL. Defaults to the value of the environment variable
	// MEMEXPORT_TEMPORAL_ARCHIVES, or, if that is not set, to the Temporal project's releases on GitHub.
	// The SHA-256 of the archive is verified. If the download fails, the CLI is built from source.
	Archives string
	// Log prints a progress message. It takes the arguments of fmt.Printf, with a format that contains
	// no newline. Log may be nil.
	Log func(format string, args ...any)
}

// Temporal is a running dev server with the namespace default.
type Temporal struct {
	// Address is the address of the gRPC frontend: 127.0.0.1:<port>.
	Address string
	// UIURL is the address of the web UI, http://127.0.0.1:<port>, or "" when headless.
	UIURL string
	// PID is the process id of the server, which some tests kill.
	PID int
	// Version is the version of the server, such as "1.31.2".
	Version string
	// LogFile is the path of the server's log.
	LogFile string

	process *process.Process
}

// StartTemporal starts the dev server and returns once the server answers. It runs the Temporal CLI on
// PATH if that CLI is recent enough, and otherwise the CLI in the user's cache. If the cache does not
// contain the CLI, StartTemporal downloads it. If the download fails, StartTemporal builds the CLI from
// the source that tools/temporal names, which takes about five minutes on two cores.
func StartTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of Temporal: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(o.Dir, dirMode()); err != nil {
		return nil, fmt.Errorf("the directory of Temporal: %w; use --dir to choose another", err)
	}
	program, err := temporalFinder{archives: o.Archives, log: o.Log}.find(ctx)
	if err != nil {
		return nil, err
	}
	frontend := portRequest{server: "Temporal", want: o.Port, flag: "--temporal-port", file: filepath.Join(dir, "temporal.port")}
	ui := portRequest{server: "the Temporal UI", want: o.UIPort, flag: "--ui-port", file: filepath.Join(dir, "temporal-ui.port")}
	// Picking other ports for the frontend and the UI is not enough, because the server itself picks six
	// more ports when it starts. The server panics if no port is free, or if another program takes one of
	// the ports before the server listens on it. In that case, start the server again.
	return retryStart(ctx, func() (*Temporal, error) {
		port, err := frontend.pick(ctx)
		if err != nil {
			return nil, err
		}
		ui.exclude = port
		uiPort := 0
		if !o.Headless {
			if uiPort, err = ui.pick(ctx); err != nil {
				return nil, err
			}
		}
		t, err := program.serve(ctx, port, uiPort, o)
		if err != nil {
			return nil, err
		}
		frontend.keep(port)
		if !o.Headless {
			ui.keep(uiPort)
		}
		return t, nil
	})
}

// Done is closed when the server has ended, for whatever reason.
func (t *Temporal) Done() <-chan struct{} { return t.process.Done() }

// Err says why the server has ended and shows the end of its log. Err returns nil while the server runs,
// and after Stop.
func (t *Temporal) Err() error { return t.process.Err() }

// Stop stops the server. If that takes more than 15 seconds, Stop kills the server and returns an
// error. No state is lost. A second Stop does nothing.
func (t *Temporal) Stop() error { return t.process.Stop() }

// serve starts the server and returns when the server is ready. If uiPort is 0, there is no web UI.
func (p temporalProgram) serve(ctx context.Context, port, uiPort int, o TemporalOptions) (*Temporal, error) {
	cmd := exec.Command(p.path, p.serverArgs(port, uiPort, o)...)
	cmd.Dir = o.Dir
	cmd.Env = process.EnvironWithout("TEMPORAL_") // variables with this prefix configure clients, not the server
	log := filepath.Join(o.Dir, "temporal.log")
	// If this process dies, the server is killed at once, which is the default of process.Options. The
	// server's SQLite file survives that.
	child, err := process.Start(cmd, process.Options{Name: "temporal", Log: log, Grace: temporalStopGrace})
	if err != nil {
		return nil, err
	}
	t := &Temporal{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), PID: child.PID(),
		Version: p.version, LogFile: log, process: child}
	if uiPort != 0 {
		t.UIURL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(uiPort))
	}
	if err := t.waitReady(ctx); err != nil {
		return nil, startError(errors.Join(err, child.Stop()), child.Output())
	}
	return t, nil
}

func (p temporalProgram) serverArgs(port, uiPort int, o TemporalOptions) []string {
	args := []string{"server", "start-dev", "--disable-config-file", "--disable-config-env",
		"--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--namespace", temporalNamespace,
		"--log-level", "warn", "--dynamic-config-value", "matching.enableFairness=" + strconv.FormatBool(!o.NoFairness),
		// A small export runs several short activities one after the other. With this setting, the
		// server answers a completed workflow task with the next activity, so that the worker need not
		// poll the task queue for that activity.
		"--dynamic-config-value", "system.enableActivityEagerExecution=true",
		// The tasks for workers come from the transfer queue of a history shard. The dev server has one shard,
		// and by default polls its transfer queue at most 20 times a second. With more than a few exports a
		// second, every task would then wait for about 40 ms.
		"--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000",
		// With this setting, the server ends the polls of a worker that begins to stop. By default, the server may
		// still give tasks to these polls, and such a task is lost until its heartbeat times out.
		"--dynamic-config-value", "frontend.enableCancelWorkerPollsOnShutdown=true",
		// Pausing a workflow is off by default in server 1.31.
		"--dynamic-config-value", "frontend.WorkflowPauseEnabled=true"}
	if uiPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(uiPort))
	}
	if !o.InMemory {
		file := p.stateFile(o)
		// The write-ahead log lets the state survive if the process is killed. It is also several times
		// faster than the default journal.
		args = append(args, "--db-filename", file, "--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL")
	}
	return args
}

// stateFile returns the state file of this version of the server. A server cannot read the file of
// another version.
func (p temporalProgram) stateFile(o TemporalOptions) string {
	file := filepath.Join(o.Dir, "temporal-"+p.version+".db")
	others, _ := filepath.Glob(filepath.Join(o.Dir, "temporal-*.db")) // the only error is a malformed pattern
	if len(others) > 0 && !slices.Contains(others, file) {
		logFunc(o.Log).printf("temporal: server %s begins with an empty state, because it cannot read the state of another version: you can delete %s",
			p.version, strings.Join(others, ", "))
	}
	return file
}
