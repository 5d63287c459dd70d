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

// endTimeout is much longer than the few seconds in which a command ends, because the machine may be
// busy.
const endTimeout = 2 * time.Minute

// command is a running memexport. It is killed when the test process ends.
type command struct {
	*process.Process
	args           string
	stdout, stderr process.Buffer
}

// start starts memexport. Its environment is the environment of the tests, without the variables
// that configure memexport, plus env. Every process gets an admin port of its own, and
// stops without a delay.
func start(env []string, args ...string) (*command, error) { return startIn("", env, args...) }

// startIn is like start, but sets the working directory. If dir is "", the command runs in the
// directory of the tests.
func startIn(dir string, env []string, args ...string) (*command, error) {
	c := &command{args: strings.Join(args, " ")}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(append(process.CleanEnviron(), "ADMIN_ADDR=127.0.0.1:0", "STOP_DELAY=0s"), env...)
	cmd.Stdout, cmd.Stderr = &c.stdout, &c.stderr
	var err error
	c.Process, err = process.Start(cmd, process.Options{})
	return c, err
}

// launch is like start, but fails the test on an error, and stops memexport at the end of the test.
func launch(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	c, err := start(env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(syscall.SIGTERM) })
	return c
}

// finish runs memexport until it ends and returns its exit code and output.
func finish(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := launch(t, env, args...)
	code = c.code(t)
	return code, c.stdout.String(), c.stderr.String()
}

// mustRun runs memexport until it ends and returns its standard output. It fails the test unless
// the exit code is 0.
func mustRun(t *testing.T, env []string, args ...string) string {
	t.Helper()
	c := launch(t, env, args...)
	c.wantCode(t, 0)
	return c.stdout.String()
}

// wait waits for at most limit until the command ends. It returns the exit code, or -1 if a signal
// ended the command. ended is false if the command still runs.
func (c *command) wait(limit time.Duration) (code int, ended bool) {
	select {
	case <-c.Done():
		return c.ExitCode(), true
	case <-time.After(limit):
		return 0, false
	}
}

// code waits until the command ends and returns its exit code, or -1 if a signal ended it. It fails
// the test if the command takes too long.
func (c *command) code(t *testing.T) int {
	t.Helper()
	code, ended := c.wait(endTimeout)
	if !ended {
		t.Fatalf("memexport %s still runs after %s:\n%s", c.args, endTimeout, c.Output())
	}
	return code
}

// wantCode waits until the command ends and fails the test unless its exit code is want.
func (c *command) wantCode(t *testing.T, want int) {
	t.Helper()
	if code := c.code(t); code != want {
		t.Fatalf("memexport %s ended with %d, want %d:\n%s", c.args, code, want, c.Output())
	}
}

// end sends a signal to the command and waits until it ends. If that takes too long, end kills the
// command.
func (c *command) end(s syscall.Signal) {
	c.Signal(s)
	if _, ended := c.wait(endTimeout); !ended {
		c.Kill()
	}
}

// says waits for at most limit until the command has printed the text to standard output or
// standard error.
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

// receive waits until a value arrives on the channel or the channel is closed. After a minute it
// fails the test with fact in the message.
func receive(t *testing.T, c <-chan struct{}, fact string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("this did not become true within a minute: %s", fact)
	}
}
