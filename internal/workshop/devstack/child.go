package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// progressEvery is how often people hear that something long still goes on.
const progressEvery = 15 * time.Second

// child is a server that runs until stop is called, it dies, or this process dies.
type child struct {
	name       string         // as in messages: "postgres"
	stopSignal syscall.Signal // asks it to end in good order
	grace      time.Duration  // how long it has for that before it is killed
	log        *serverLog
	cmd        *exec.Cmd

	stopping atomic.Bool
	exited   chan struct{} // closed when the process is gone
	exit     error         // how it ended: valid once exited is closed
}

// startChild starts cmd with its output in c.log. When this process dies by whatever means, the
// kernel sends the child orphanSignal.
func startChild(c *child, orphanSignal syscall.Signal) error {
	defer c.log.file.Close() // the child has its own
	c.cmd.Stdout, c.cmd.Stderr = c.log.file, c.log.file
	wait, err := spawn(c.cmd, orphanSignal)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.exited = make(chan struct{})
	go func() {
		c.exit = <-wait
		close(c.exited)
	}()
	return nil
}

// err says why the child is gone: nil while it runs, and after a stop that it obeyed.
func (c *child) err() error {
	select {
	case <-c.exited:
	default:
		return nil
	}
	if c.stopping.Load() {
		return nil
	}
	return fmt.Errorf("%s stopped unexpectedly (%s); the end of %s:\n%s",
		c.name, c.cmd.ProcessState, c.log.path, c.log.tail())
}

// stop ends the child: its stop signal first, kill after the grace. Stopping twice, or a child
// that is gone already, is no error.
func (c *child) stop() error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	c.stopping.Store(true)
	// An error only says that it ended in between, which the wait below sees.
	_ = c.cmd.Process.Signal(c.stopSignal)
	select {
	case <-c.exited:
		return nil
	case <-time.After(c.grace):
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
	return fmt.Errorf("%s did not stop within %v and was killed; the end of %s:\n%s",
		c.name, c.grace, c.log.path, c.log.tail())
}

// runTool runs a program that ends by itself and returns what it printed, standard error included.
// Cancelling ctx ends it with all that it started. progress, unless nil, is called now and then
// with the time since the start.
func runTool(ctx context.Context, cmd *exec.Cmd, progress func(time.Duration)) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the pipe open
	wait, err := spawn(cmd, syscall.SIGTERM)
	if err != nil {
		return "", err
	}
	begin, tick := time.Now(), time.NewTicker(progressEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err = <-wait:
			running = false
		case <-tick.C:
			if progress != nil {
				progress(time.Since(begin).Round(time.Second))
			}
		case <-ctx.Done():
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-wait
			return "", context.Cause(ctx)
		}
	}
	text := strings.TrimSpace(out.String())
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return text, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return text, nil
}

// spawn starts cmd as the leader of its own process group, bound to the life of this process, and
// returns a channel that yields how it ended.
func spawn(cmd *exec.Cmd, orphanSignal syscall.Signal) (<-chan error, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	started, wait := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel counts the end of the forking thread as the death of the parent, so the thread
		// must live for as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		release, err := startBound(cmd, orphanSignal)
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		release()
		wait <- err
	}()
	return wait, <-started
}
