package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// progressEvery is how often people hear that something long still goes on.
const progressEvery = 15 * time.Second

// RunOptions say how Run runs a program. The zero value is usable.
type RunOptions struct {
	// Progress, unless nil, is called every 15 seconds with the time since the start.
	Progress func(since time.Duration)
	// Grace is how long the program may take to stop after SIGTERM when ctx ends. Without a grace it
	// is killed at once, with everything that it started.
	Grace time.Duration
}

// Run runs a program that ends by itself and returns its standard output without surrounding space.
// If the program fails, the error is a *Failure. If ctx ends first, the error is its cause.
func Run(ctx context.Context, cmd *exec.Cmd, o RunOptions) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var stdout bytes.Buffer
	var all Buffer // both streams, in the order of writing
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &all), &all
	exited, err := spawn(cmd, syscall.SIGTERM)
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w; install %s and put it on PATH", err, cmd.Args[0])
	}
	if err != nil {
		return "", err
	}
	begin, tick := time.Now(), time.NewTicker(progressEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err = <-exited:
			running = false
		case <-tick.C:
			if o.Progress != nil {
				o.Progress(time.Since(begin).Round(time.Second))
			}
		case <-ctx.Done():
			cancelRun(cmd, exited, o.Grace)
			return "", context.Cause(ctx)
		}
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return strings.TrimSpace(stdout.String()), &Failure{Command: strings.Join(cmd.Args, " "), Err: err, Output: all.String()}
	}
	return strings.TrimSpace(stdout.String()), nil
}

// cancelRun ends a program early and returns when it is gone.
func cancelRun(cmd *exec.Cmd, exited <-chan error, grace time.Duration) {
	if grace > 0 {
		signalGroup(cmd.Process, syscall.SIGTERM)
		select {
		case <-exited:
			return
		case <-time.After(grace):
		}
	}
	signalGroup(cmd.Process, syscall.SIGKILL)
	<-exited
}

// Failure is a program that ended with an error.
type Failure struct {
	Command string // with its arguments
	Err     error  // how it ended: an *exec.ExitError
	Output  string // all of its standard output and error
}

// Error shows the end of the output.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %v\n%s", f.Command, f.Err, Excerpt(f.Output))
}

// Unwrap returns how the program ended.
func (f *Failure) Unwrap() error { return f.Err }
