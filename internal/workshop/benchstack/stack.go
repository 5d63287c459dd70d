// Package benchstack runs the whole product for a benchmark, as users run it: a real Postgres, a
// real Temporal server, and `memexport api` and `memexport worker` as separate processes.
//
// It also contains workspaces with known content, an HTTP client, and psql, which exports are
// compared with.
package benchstack

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
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/port"
	"memexport/internal/workshop/process"
)

// Options configure a stack. All fields are required.
type Options struct {
	Dir           string    // Postgres's data stays here for the next run; everything else is removed
	SharedBuffers string    // the setting shared_buffers of Postgres, such as "256MB"
	Datasets      []Dataset // workspaces that must exist; Tiny always exists
	Psql          bool      // whether the benchmark uses psql, which must then be installed
	NoFairness    bool      // whether Temporal's fairness is off
	S3            bool      // whether an S3 server runs too

	// Log prints a progress message. It takes the arguments of fmt.Printf, with a format that contains
	// no newline.
	Log func(format string, args ...any)
	// Fail is called when a process ends unexpectedly. It should end the benchmark.
	Fail func(error)
}

// Stack is everything that runs during a benchmark.
type Stack struct {
	WorkDir  string // a directory for temporary files, removed by Close
	Postgres *devstack.Postgres
	Temporal *devstack.Temporal
	DB       *sqlx.DB
	S3       *S3 // nil unless Options.S3 is set

	options     Options
	bucket      string // the directory of the file:// bucket, on the same disk as psql's output
	psql        string
	binary      string
	environment []string // of the API and the workers
	extra       []string // the variables that Restart added to environment
	api         *process.Process
	workers     []*process.Process
	replacedCPU time.Duration // processor time of the workers that ReplaceWorkers has stopped
	baseURL     string
	http        *http.Client
	clients     map[string]Client // by workspace

	closers []func() error // Close calls these, the last one first
}

// PassedOn lists the variables of this process's environment that the API and the workers get. They
// get no others, so that a forgotten setting does not change the results.
var PassedOn = []string{"PATH", "TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "EXPORT_PARALLEL", "WORKER_CONCURRENCY"}

// Start starts everything, with one worker. If it returns a stack, the caller must close that
// stack, even if it also returns an error.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{options: o, clients: map[string]Client{}}
	if o.Psql {
		var err error
		if s.psql, err = findPsql(); err != nil {
			return nil, err
		}
	}
	release, err := devstack.Lock(o.Dir)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { release(); return nil })
	if err := s.makeWorkDir(); err != nil {
		return s, err
	}
	o.Log("building memexport")
	s.UseBinary("")
	build := exec.Command("go", "build", "-o", s.binary, "memexport/cmd/memexport")
	if _, err := process.Run(ctx, build, process.RunOptions{}); err != nil {
		return s, fmt.Errorf("build memexport: %w", err)
	}
	if err := s.startServers(ctx); err != nil {
		return s, err
	}
	// Insert the memories while there is no schema memexport: startServers has dropped it, and
	// `memexport migrate` creates it again below. Postgres would look for unqualified table names
	// in that schema first, because the user has the same name.
	if err := s.prepareData(ctx); err != nil {
		return s, err
	}
	if err := s.makeEnvironment(); err != nil {
		return s, err
	}
	migrate := exec.Command(s.binary, "migrate")
	migrate.Env = s.environment
	if _, err := process.Run(ctx, migrate, process.RunOptions{}); err != nil {
		return s, err
	}
	if o.S3 {
		if err := s.startS3(ctx); err != nil {
			return s, fmt.Errorf("the S3 server: %w", err)
		}
	}
	s.closers = append(s.closers, s.stopProcesses)
	return s, s.Restart(ctx, 1)
}

// Close stops everything that Start started, in reverse order.
func (s *Stack) Close() error {
	var problems []error
	for _, closer := range slices.Backward(s.closers) {
		problems = append(problems, closer())
	}
	return errors.Join(problems...)
}

// makeWorkDir creates WorkDir. It also deletes the work directories that killed runs left behind,
// and Temporal's state, which would slow this run down.
func (s *Stack) makeWorkDir() error {
	for _, pattern := range []string{"work-*", "temporal-*.db*", "*.log"} {
		old, _ := filepath.Glob(filepath.Join(s.options.Dir, pattern)) // the only error is a malformed pattern
		for _, path := range old {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	var err error
	if s.WorkDir, err = os.MkdirTemp(s.options.Dir, "work-"); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(s.WorkDir) })
	s.bucket = filepath.Join(s.WorkDir, "bucket")
	return os.Mkdir(s.bucket, 0o755)
}

// startServers starts Postgres and Temporal as `memexport dev` does.
func (s *Stack) startServers(ctx context.Context) (err error) {
	o := s.options
	s.Postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: o.Dir, SharedBuffers: o.SharedBuffers, Log: o.Log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.Postgres.Stop)
	s.Temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{Dir: o.Dir, NoFairness: o.NoFairness, Log: o.Log})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.Temporal.Stop)
	go func() {
		select {
		case <-s.Postgres.Done():
			o.Fail(s.Postgres.Err())
		case <-s.Temporal.Done():
			o.Fail(s.Temporal.Err())
		case <-ctx.Done():
		}
	}()
	if s.DB, err = postgres.Open(s.Postgres.URL, 4); err != nil {
		return err
	}
	s.closers = append(s.closers, s.DB.Close)
	// Delete the exports of an earlier run, because makeWorkDir has deleted their workflows.
	_, err = s.DB.ExecContext(ctx, `DROP SCHEMA IF EXISTS memexport CASCADE`)
	return err
}

func (s *Stack) makeEnvironment() error {
	apiPort, err := port.Restartable() // all API processes of this run use this port, one after the other
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(apiPort))
	s.baseURL = "http://" + address
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
	for _, name := range PassedOn {
		if value, ok := os.LookupEnv(name); ok {
			s.environment = append(s.environment, name+"="+value)
		}
	}
	s.environment = append(s.environment, "HOME="+s.WorkDir, // an empty home, so that no configuration file for Temporal is read
		"DATABASE_URL="+s.Postgres.URL, "TEMPORAL_ADDRESS="+s.Temporal.Address,
		"BUCKET_URL=file://"+filepath.ToSlash(s.bucket), "HTTP_ADDR="+address, "ADMIN_ADDR=off",
		"API_REQUESTS_PER_SECOND=0", // this process makes more requests with one key than the API allows by default
		"STOP_TIMEOUT=5s", "STOP_DELAY=0s", "LOG_LEVEL=warn")
	return nil
}
