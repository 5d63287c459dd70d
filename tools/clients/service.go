package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/process"
)

const (
	program = "bin/memexport"
	// memories is large enough for the demo to contain every priority and category.
	memories = "500"
	// startTimeout is generous, since the machine may be busy.
	startTimeout = 5 * time.Minute
)

// service is a running `memexport dev` with its Postgres and Temporal. Two more API processes use
// the same database and bucket.
type service struct {
	dir       string
	processes []*process.Process

	url   string // URL of memexport dev
	idle  string // URL of an API whose exports never become READY, because there is no worker for them
	brief string // URL of an API whose exports expire after a second

	key, read, write string // keys of the demo workspace: with all permissions, with export.read, and with export.write
}

// unlimited lets any number of exports run at once. The exports of the idle API never end. With a
// limit, they would keep later exports of the same workspace from running.
const unlimited = "EXPORT_WORKSPACE_RUNNING=0"

// startService starts everything. If it returns an error, it has stopped everything again.
func startService(ctx context.Context) (_ *service, err error) {
	s := &service{}
	if s.dir, err = os.MkdirTemp("", "memexport-clients-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	// Postgres refuses to run as root. If root runs this, Postgres runs as another user, which must
	// be able to enter the directory.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := s.launch(ctx, []string{unlimited}, `Press Ctrl-C`, "dev", "--dir", s.dir, "--http", "127.0.0.1:0",
		"--temporal-port", "0", "--ui-port", "0", "--memories", memories); err != nil {
		return nil, err
	}
	written := map[string]string{}
	for _, name := range []string{"base-url", "api-key", "database-url", "temporal.port"} {
		line, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		written[name] = strings.TrimSpace(string(line))
	}
	s.url, s.key = written["base-url"], written["api-key"]
	env := []string{unlimited, "DATABASE_URL=" + written["database-url"], "BUCKET_URL=file://" + filepath.Join(s.dir, "bucket"),
		"TEMPORAL_ADDRESS=" + net.JoinHostPort("127.0.0.1", written["temporal.port"]), "HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=off", "STOP_DELAY=0s"}
	idle, brief := append([]string{"TASK_QUEUE=idle"}, env...), append([]string{"TASK_QUEUE=brief", "EXPORT_RETENTION=1s"}, env...)
	const listening = `"msg":"api listening","address":"([^"]+)"`
	if s.idle, err = s.launch(ctx, idle, listening, "api"); err != nil {
		return nil, err
	}
	if s.brief, err = s.launch(ctx, brief, listening, "api"); err != nil {
		return nil, err
	}
	if _, err = s.launch(ctx, brief, `"msg":"worker started"`, "worker"); err != nil {
		return nil, err
	}
	s.idle, s.brief = "http://"+s.idle, "http://"+s.brief
	if s.read, err = createKey(ctx, env, "export.read"); err != nil {
		return nil, err
	}
	s.write, err = createKey(ctx, env, "export.write")
	return s, err
}

// createKey creates an API key for the demo workspace with one permission.
func createKey(ctx context.Context, env []string, permission string) (string, error) {
	cmd := exec.Command(program, "keys", "create", "--test", "--workspace", demo.WorkspaceID, "--permission", permission, "--name", permission)
	cmd.Env = append(process.CleanEnviron(), env...)
	return process.Run(ctx, cmd, process.RunOptions{})
}

// environment returns the environment variables that tell a client the URLs and the keys.
func (s *service) environment() []string { return s.environmentAt(s.url, s.idle, s.brief) }

func (s *service) environmentAt(url, idle, brief string) []string {
	return []string{"MEMEXPORT_URL=" + url, "MEMEXPORT_URL_IDLE=" + idle, "MEMEXPORT_URL_BRIEF=" + brief,
		"API_KEY=" + s.key, "API_KEY_READ=" + s.read, "API_KEY_WRITE=" + s.write, "NO_KEY="}
}

// stop stops the processes in reverse order and deletes their files.
func (s *service) stop() error {
	var problems []error
	for _, p := range slices.Backward(s.processes) {
		problems = append(problems, p.Stop())
	}
	return errors.Join(append(problems, os.RemoveAll(s.dir))...)
}

// launch starts memexport and waits until its output matches the pattern. It returns the last group
// of the match.
func (s *service) launch(ctx context.Context, env []string, pattern string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	printed := &process.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(process.CleanEnviron(), env...), printed, printed
	// If this process dies, SIGTERM lets memexport dev stop its Postgres cleanly.
	p, err := process.Start(cmd, process.Options{Name: "memexport " + args[0], Grace: stopGrace, OrphanSignal: syscall.SIGTERM})
	if err != nil {
		return "", fmt.Errorf("%w; build it with make build", err)
	}
	s.processes = append(s.processes, p)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	match, err := p.WaitOutput(ctx, regexp.MustCompile(pattern))
	if err != nil {
		return "", err
	}
	return match[len(match)-1], nil
}
