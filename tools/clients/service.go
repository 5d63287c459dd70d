package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"memexport/internal/workshop/demo"
)

const (
	program = "bin/memexport"
	// Of the demo memories, some are of every priority and category.
	memories = "500"
	// startTimeout is generous: the machine may be busy.
	startTimeout = 5 * time.Minute
)

// service is the real thing: memexport dev with its Postgres and Temporal, and beside it, over the
// same database and bucket, an API whose exports no worker makes, and one whose exports expire after
// a second.
type service struct {
	dir              string
	processes        []*process
	url, idle, brief string
	key, read, write string // keys of the demo workspace: for all, for reading, for writing
}

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
	// Of root's Postgres, another user is to reach it.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := s.launch(ctx, nil, `Press Ctrl-C`, "dev", "--dir", s.dir, "--http", "127.0.0.1:0",
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
	env := []string{"DATABASE_URL=" + written["database-url"], "BUCKET_URL=file://" + filepath.Join(s.dir, "bucket"),
		"TEMPORAL_ADDRESS=" + net.JoinHostPort("127.0.0.1", written["temporal.port"]), "HTTP_ADDR=127.0.0.1:0"}
	idle, brief := append([]string{"TASK_QUEUE=idle"}, env...), append([]string{"TASK_QUEUE=brief", "EXPORT_RETENTION=1s"}, env...)
	const listening = `"msg":"api listening","address":"([^"]+)"`
	for _, start := range []struct {
		env     []string
		command string
		says    string
		url     *string
	}{{idle, "api", listening, &s.idle}, {brief, "api", listening, &s.brief}, {brief, "worker", `"msg":"(worker started)"`, new(string)}} {
		if *start.url, err = s.launch(ctx, start.env, start.says, start.command); err != nil {
			return nil, err
		}
	}
	s.idle, s.brief = "http://"+s.idle, "http://"+s.brief
	if s.read, err = createKey(ctx, env, "export.read"); err != nil {
		return nil, err
	}
	s.write, err = createKey(ctx, env, "export.write")
	return s, err
}

func createKey(ctx context.Context, env []string, permission string) (string, error) {
	key, err := output(ctx, "", append(cleared(), env...), program, "keys", "create", "--test", "--workspace", demo.WorkspaceID, "--permission", permission, "--name", permission)
	return strings.TrimSpace(key), err
}

// environment tells a client where the service is.
func (s *service) environment() []string { return s.at(s.url, s.idle, s.brief) }

func (s *service) at(url, idle, brief string) []string {
	return []string{"MEMEXPORT_URL=" + url, "MEMEXPORT_URL_IDLE=" + idle, "MEMEXPORT_URL_BRIEF=" + brief,
		"API_KEY=" + s.key, "API_KEY_READ=" + s.read, "API_KEY_WRITE=" + s.write, "NO_KEY="}
}

// stop ends the processes, the last first, and removes what they have written.
func (s *service) stop() error {
	var problems []error
	for i := len(s.processes) - 1; i >= 0; i-- {
		problems = append(problems, s.processes[i].stop())
	}
	return errors.Join(append(problems, os.RemoveAll(s.dir))...)
}

// process is a running memexport.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone
	mu     sync.Mutex
	text   bytes.Buffer // what it has printed
}

func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// launch starts a process of the service, waits until it prints what matches a pattern, and returns
// the pattern's first group, if any.
func (s *service) launch(ctx context.Context, env []string, says string, args ...string) (string, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(append(os.Environ(), cleared()...), env...), p, p
	gently(p.cmd)
	bindToParent(p.cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that forked for the death of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // what it has printed says how it ended
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return "", fmt.Errorf("%w; make build builds it", err)
	}
	s.processes = append(s.processes, p)
	pattern := regexp.MustCompile(says)
	for deadline := time.Now().Add(startTimeout); ; {
		if match := pattern.FindStringSubmatch(p.printed()); match != nil {
			return match[len(match)-1], nil
		}
		select {
		case <-p.exited:
			return "", fmt.Errorf("memexport %s ended:\n%s", args[0], p.printed())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("memexport %s does not get ready:\n%s", args[0], p.printed())
		}
	}
}

func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.exited:
		return nil
	case <-time.After(time.Minute):
		return errors.Join(fmt.Errorf("%s did not stop", p.cmd), p.cmd.Process.Kill())
	}
}

// cleared takes back what of the environment would configure memexport or its parts.
func cleared() []string {
	var empty []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"DATABASE_", "MEMORIES_", "BUCKET_", "HTTP_ADDR", "EXPORT_", "TASK_QUEUE", "WORKER_", "RECONCILE_", "SWEEP_", "TEMPORAL_", "LOG_"} {
			if strings.HasPrefix(name, prefix) {
				empty = append(empty, name+"=")
			}
		}
	}
	return empty
}
