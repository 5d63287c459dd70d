package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a run of memexport. It dies with the tests, however they end.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	exited         chan struct{} // closed when it is gone
}

// output is what a process has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs memexport with the environment of the tests, less all that would configure it, plus env.
func start(env []string, args ...string) (*process, error) { return startIn("", env, args...) }

// startIn is start in a directory, or in the tests' own if that is empty.
func startIn(dir string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	dieWithParent(p.cmd.SysProcAttr)
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the forking thread for the end of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in ProcessState
			close(p.exited)
		}
	}()
	return p, <-started
}

// launch is start for a test, which ends the process if nothing else has.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p, err := start(env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(syscall.SIGTERM) })
	return p
}

// finish runs memexport to its end and returns the exit code with what it printed.
func finish(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := launch(t, env, args...)
	if code, ok := p.wait(time.Minute); ok {
		return code, p.stdout.String(), p.stderr.String()
	}
	t.Fatalf("memexport %s does not end:\n%s", strings.Join(args, " "), p.text())
	return
}

// mustRun is finish for what has to succeed, and returns the standard output.
func mustRun(t *testing.T, env []string, args ...string) string {
	t.Helper()
	code, stdout, stderr := finish(t, env, args...)
	if code != 0 {
		t.Fatalf("memexport %s ended with %d:\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) text() string { return p.stdout.String() + p.stderr.String() }

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may be gone already

// wait waits for the process to end and returns its exit code, -1 if it was killed.
func (p *process) wait(limit time.Duration) (code int, ok bool) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), true
	case <-time.After(limit):
		return 0, false
	}
}

// end ends the process by a signal, or else by force.
func (p *process) end(s syscall.Signal) {
	p.signal(s)
	if _, ok := p.wait(time.Minute); !ok {
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// says waits until the standard output or error has the text.
func (p *process) says(text string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		if strings.Contains(p.text(), text) {
			return nil
		}
		select {
		case <-p.exited:
			if !strings.Contains(p.text(), text) { // its last words may have come in between
				return fmt.Errorf("memexport ended with %v before it said %q:\n%s", p.cmd.ProcessState, text, p.text())
			}
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("memexport does not say %q after %s:\n%s", text, limit, p.text())
		}
	}
}

// cleanEnv is the environment without what would configure memexport or its parts.
func cleanEnv() []string {
	var kept []string
next:
	for _, variable := range os.Environ() {
		for _, prefix := range []string{"DATABASE_URL=", "MEMORIES_", "BUCKET_URL=", "HTTP_ADDR=", "EXPORT_", "TASK_QUEUE=", "WORKER_",
			"STOP_TIMEOUT=", "MEMEXPORT_", "RECONCILE_EVERY=", "SWEEP_EVERY=", "LOG_", "TEMPORAL_", "OTEL_", "PG", "GOGC=", "GOMEMLIMIT="} {
			if strings.HasPrefix(variable, prefix) {
				continue next
			}
		}
		kept = append(kept, variable)
	}
	return kept
}

const pollEvery = 20 * time.Millisecond

// eventually fails the test when the fact does not come true in time.
func eventually(t *testing.T, limit time.Duration, fact string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !isTrue(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatalf("this did not become true in %s: %s", limit, fact)
		}
	}
}

// running is a process that is named for good: numbers are used again.
type running struct {
	pid   int
	begun string
}

// descendants are the children of a process, theirs, and so on.
func descendants(t *testing.T, pid int) []running {
	t.Helper()
	parents, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []running
	for generation := []int{pid}; len(generation) > 0; {
		var next []int
		for child, parent := range parents {
			for _, p := range generation {
				if parent == p {
					next = append(next, child.pid)
					found = append(found, child)
				}
			}
		}
		generation = next
	}
	return found
}

// alive are those of the processes that still run.
func alive(t *testing.T, these []running) []int {
	t.Helper()
	parents, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	for _, r := range these {
		if _, ok := parents[r]; ok {
			left = append(left, r.pid)
		}
	}
	return left
}

// gone tells whether an error is a process that has ended in the middle of being looked at.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
