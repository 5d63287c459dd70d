package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/process"
)

// endTimeout is generous: commands end in seconds, but the machine may be busy.
const endTimeout = 2 * time.Minute

// command is a run of memexport. It does not outlive the tests.
type command struct {
	*process.Process
	args           string
	stdout, stderr process.Buffer
}

// start runs memexport. Its environment is the environment of the tests without settings of memexport,
// plus env.
func start(env []string, args ...string) (*command, error) { return startIn("", env, args...) }

// startIn is start in a directory; "" is the directory of the tests.
func startIn(dir string, env []string, args ...string) (*command, error) {
	c := &command{args: strings.Join(args, " ")}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(process.CleanEnviron(), env...)
	cmd.Stdout, cmd.Stderr = &c.stdout, &c.stderr
	var err error
	c.Process, err = process.Start(cmd, process.Options{})
	return c, err
}

// launch starts memexport for a test. At the end of the test it is stopped if it still runs.
func launch(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	c, err := start(env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(syscall.SIGTERM) })
	return c
}

// finish runs memexport to its end and returns the exit code with what it printed.
func finish(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := launch(t, env, args...)
	code = c.code(t)
	return code, c.stdout.String(), c.stderr.String()
}

// mustRun runs memexport to its end, which must be a success, and returns its standard output.
func mustRun(t *testing.T, env []string, args ...string) string {
	t.Helper()
	c := launch(t, env, args...)
	c.wantCode(t, 0)
	return c.stdout.String()
}

// wait waits until the command ends and returns its exit code, or -1 if a signal ended it.
func (c *command) wait(limit time.Duration) (code int, ended bool) {
	select {
	case <-c.Done():
		return c.ExitCode(), true
	case <-time.After(limit):
		return 0, false
	}
}

// code waits until the command ends and returns its exit code, or -1 if a signal ended it.
func (c *command) code(t *testing.T) int {
	t.Helper()
	code, ended := c.wait(endTimeout)
	if !ended {
		t.Fatalf("memexport %s still runs after %s:\n%s", c.args, endTimeout, c.Output())
	}
	return code
}

// wantCode waits until the command ends and fails the test unless this is its exit code.
func (c *command) wantCode(t *testing.T, want int) {
	t.Helper()
	if code := c.code(t); code != want {
		t.Fatalf("memexport %s ended with %d, want %d:\n%s", c.args, code, want, c.Output())
	}
}

// end ends the command with a signal. If that takes too long, it kills it.
func (c *command) end(s syscall.Signal) {
	c.Signal(s)
	if _, ended := c.wait(endTimeout); !ended {
		c.Kill()
	}
}

// says waits until standard output or standard error has the text.
func (c *command) says(text string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("not after %s", limit))
	defer cancel()
	_, err := c.WaitOutput(ctx, regexp.MustCompile(regexp.QuoteMeta(text)))
	return err
}

// wantSays fails the test unless the command prints the text within a minute.
func (c *command) wantSays(t *testing.T, text string) {
	t.Helper()
	if err := c.says(text, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// receive waits until a channel has a value or is closed.
func receive(t *testing.T, c <-chan struct{}, fact string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("this did not become true within a minute: %s", fact)
	}
}
