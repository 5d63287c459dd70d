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

// progressEvery is how often Run calls RunOptions.Progress.
const progressEvery = 15 * time.Second

// RunOptions configure how Run runs a program. The zero value is usable.
type RunOptions struct {
	// Progress is called every 15 seconds with the time since the start, unless it is nil.
	Progress func(since time.Duration)
	// Grace is how long the program may take to stop. When ctx ends, the program gets SIGTERM. After
	// Grace, the program is killed together with its child processes. If Grace is 0, all of them are
	// killed at once.
	Grace time.Duration
}

// Run runs a program, waits until it ends, and returns its standard output without surrounding
// space. If the program fails, the error is a *Failure. If ctx ends first, Run stops the program
// and the error is the cause of ctx.
func Run(ctx context.Context, cmd *exec.Cmd, o RunOptions) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var stdout bytes.Buffer
	var all Buffer // standard output and standard error, in the order in which they were written
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

// cancelRun stops a program as RunOptions.Grace describes and returns when the program has ended.
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

// Failure is the error of Run for a program that failed.
type Failure struct {
	Command string // the command with its arguments
	Err     error  // how the program ended: an *exec.ExitError
	Output  string // all of its standard output and error
}

// Error returns the command, how it ended, and a digest of its output.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %v\n%s", f.Command, f.Err, Excerpt(f.Output))
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }
