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

// TemporalOptions say where and how the Temporal dev server runs.
type TemporalOptions struct {
	// Dir is the directory of the stack, created when missing: see the package comment. Every version
	// of the server has a state of its own there, because none can read the file of another.
	Dir string
	// InMemory keeps the state in memory, for tests: it is lost with the process.
	InMemory bool
	// Port of the gRPC frontend on 127.0.0.1. Without one, Temporal gets the port of the last run if
	// that is free, or otherwise any free port.
	Port int
	// UIPort is the port of the web UI on 127.0.0.1, with the same default.
	UIPort int
	// Headless starts no web UI.
	Headless bool
	// SearchAttributes are registered in the namespace default. The map goes from names to types as the
	// CLI spells them: Text, Keyword, Int, Double, Bool, Datetime, KeywordList. Attributes that an
	// existing state lacks are added to it.
	SearchAttributes map[string]string
	// Archives is where the Temporal CLI is downloaded from if neither PATH nor the user's cache has it:
	// a URL, to which /v<version>/<file> is added. Defaults to the environment variable
	// MEMEXPORT_TEMPORAL_ARCHIVES, or without it to the project's releases on GitHub. The SHA-256 of the
	// archive is verified. If it cannot be downloaded, the CLI is built from source.
	Archives string
	// Log gets progress lines for people, formatted as by fmt.Printf and without a newline. It may be
	// nil.
	Log func(format string, args ...any)
}

// Temporal is a running dev server with the namespace default.
type Temporal struct {
	// Address of the gRPC frontend: 127.0.0.1:<port>.
	Address string
	// UIURL is the address of the web UI, http://127.0.0.1:<port>, or "" when headless.
	UIURL string
	// PID is the process number of the server, for tests that kill it.
	PID int
	// Version of the server, such as "1.31.2".
	Version string
	// LogFile is the server's log.
	LogFile string

	process *process.Process
}

// StartTemporal starts the dev server and returns once it answers and its search attributes are
// registered. It runs the temporal on PATH if that is recent enough, and otherwise the one in the
// user's cache. The first time, the latter is downloaded, or built from the source that tools/temporal
// names, which takes about five minutes on two cores.
func StartTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of Temporal: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("the directory of Temporal: %w; use --dir to choose another", err)
	}
	if err := checkAttributeTypes(o.SearchAttributes); err != nil {
		return nil, err
	}
	program, err := temporalFinder{archives: o.Archives, log: o.Log}.find(ctx)
	if err != nil {
		return nil, err
	}
	frontend := portRequest{server: "Temporal", want: o.Port, flag: "--temporal-port", file: filepath.Join(dir, "temporal.port")}
	ui := portRequest{server: "the Temporal UI", want: o.UIPort, flag: "--ui-port", file: filepath.Join(dir, "temporal-ui.port")}
	// More than these two ports can be lost to another program. The server picks six others by itself
	// when it starts, and panics if it finds none or cannot listen on one after all.
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

// Done is closed when the server is gone, for whatever reason.
func (t *Temporal) Done() <-chan struct{} { return t.process.Done() }

// Err says why the server is gone, with the end of its log. It is nil while the server runs, and after
// Stop.
func (t *Temporal) Err() error { return t.process.Err() }

// Stop ends the server. A server that takes more than 15 seconds is killed, which is an error but loses
// no state. Stopping twice is harmless.
func (t *Temporal) Stop() error { return t.process.Stop() }

// serve starts the server and returns when it is ready. A uiPort of 0 means without a web UI.
func (p temporalProgram) serve(ctx context.Context, port, uiPort int, o TemporalOptions) (*Temporal, error) {
	cmd := exec.Command(p.path, p.serverArgs(port, uiPort, o)...)
	cmd.Dir = o.Dir
	cmd.Env = process.EnvironWithout("TEMPORAL_") // these are for clients
	log := filepath.Join(o.Dir, "temporal.log")
	// An orphan is killed at once, the default: its SQLite file survives that.
	child, err := process.Start(cmd, process.Options{Name: "temporal", Log: log, Grace: temporalStopGrace})
	if err != nil {
		return nil, err
	}
	t := &Temporal{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), PID: child.PID(),
		Version: p.version, LogFile: log, process: child}
	if uiPort != 0 {
		t.UIURL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(uiPort))
	}
	if err := t.waitReady(ctx, o.SearchAttributes); err != nil {
		return nil, startError(errors.Join(err, child.Stop()), child.Output())
	}
	return t, nil
}

func (p temporalProgram) serverArgs(port, uiPort int, o TemporalOptions) []string {
	args := []string{"server", "start-dev", "--disable-config-file", "--disable-config-env",
		"--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--namespace", temporalNamespace,
		"--log-level", "warn", "--dynamic-config-value", "matching.enableFairness=true",
		// A small export is a chain of short activities. This lets the worker that schedules an activity
		// run it at once.
		"--dynamic-config-value", "system.enableActivityEagerExecution=true",
		// The dev server has one history shard. By default it reads the queue of tasks for workers at most
		// 20 times a second, so that beyond a few exports a second every task would wait 40 ms for its turn.
		"--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"}
	if uiPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(uiPort))
	}
	if !o.InMemory {
		file := p.stateFile(o)
		// A write-ahead log survives the death of the process, and is several times faster than the
		// default journal.
		args = append(args, "--db-filename", file, "--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL")
	}
	names := make([]string, 0, len(o.SearchAttributes))
	for name := range o.SearchAttributes {
		names = append(names, name)
	}
	slices.Sort(names) // so that two runs have the same command line
	for _, name := range names {
		args = append(args, "--search-attribute", name+"="+o.SearchAttributes[name])
	}
	return args
}

// stateFile returns the file for the state of this version of the server: no server migrates the file
// of another version.
func (p temporalProgram) stateFile(o TemporalOptions) string {
	file := filepath.Join(o.Dir, "temporal-"+p.version+".db")
	others, _ := filepath.Glob(filepath.Join(o.Dir, "temporal-*.db")) // fails only on a bad pattern
	if len(others) > 0 && !slices.Contains(others, file) {
		logFunc(o.Log).printf("temporal: server %s begins with an empty state, because it cannot read the state of another version: you can delete %s",
			p.version, strings.Join(others, ", "))
	}
	return file
}
