// Package process starts child processes that do not outlive this one, for the development stack,
// tests and benchmarks.
//
// On Linux the kernel signals a child when its parent dies, even by kill -9. Other Unix systems get
// a watchdog: a shell that waits for the parent's end. On Windows a child can outlive a parent that
// is killed. On Unix every child leads a process group of its own, so that Ctrl-C in a terminal
// reaches only the parent, which then stops its children in order.
package process

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// defaultGrace is longer than the service's default timeouts for a stop in tests and benchmarks.
	defaultGrace = 15 * time.Second
	// waitDelay is how long output is still read after the exit of a child: one of its own children
	// may hold the pipe open.
	waitDelay = 5 * time.Second
)

// Options say how a child is named, logged and stopped. The zero value is usable.
type Options struct {
	// Name of the child in messages. Defaults to the base name of its program.
	Name string
	// Log is the file that the child's standard output and error are appended to. A file that has
	// grown large is first renamed to <name>.old. Without Log, the command's Stdout and Stderr apply.
	Log string
	// StopSignal asks the child to stop. Defaults to SIGTERM. Windows ends the child at once.
	StopSignal syscall.Signal
	// Grace is how long Stop waits after StopSignal before it kills the child. Defaults to 15 s.
	Grace time.Duration
	// OrphanSignal is what the child gets when this process dies. Defaults to SIGKILL.
	OrphanSignal syscall.Signal
}

// Process is a child that runs until it is stopped, ends by itself, or this process dies.
type Process struct {
	name       string
	cmd        *exec.Cmd
	log        *logFile // nil without Options.Log
	stopSignal syscall.Signal
	grace      time.Duration

	stopping atomic.Bool
	done     chan struct{} // closed when the child is gone
}

// Start starts cmd. The child goes on after Start returns, whatever happens to the calling
// goroutine or thread.
func Start(cmd *exec.Cmd, o Options) (*Process, error) {
	p := &Process{
		name:       cmp.Or(o.Name, filepath.Base(cmd.Path)),
		cmd:        cmd,
		stopSignal: cmp.Or(o.StopSignal, syscall.SIGTERM),
		grace:      cmp.Or(o.Grace, defaultGrace),
		done:       make(chan struct{}),
	}
	if o.Log != "" {
		log, file, err := openLog(o.Log)
		if err != nil {
			return nil, err
		}
		defer file.Close() // the child has a descriptor of its own
		// A file and not a pipe: the child must not block or die because nobody reads.
		p.log, cmd.Stdout, cmd.Stderr = log, file, file
	}
	exited, err := spawn(cmd, cmp.Or(o.OrphanSignal, syscall.SIGKILL))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		<-exited // cmd.ProcessState says how it ended
		close(p.done)
	}()
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the child is gone, with the end of its output. It is nil while the child runs, and
// after Stop or Kill.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.stopping.Load() {
		return nil
	}
	return fmt.Errorf("%s stopped unexpectedly (%s); %s", p.name, p.cmd.ProcessState, p.describeOutput())
}

// ExitCode waits until the child is gone and returns its exit code, or -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal. A child that is gone is not an error.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the child by force and returns when it is gone.
func (p *Process) Kill() {
	p.stopping.Store(true)
	_ = p.cmd.Process.Kill() // fails only if the child is gone
	<-p.done
}

// Stop asks the child to stop and returns when it is gone. A child that does not stop within its
// grace is killed, which is an error. Stopping a child that is gone does nothing.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.stopping.Store(true)
	askToStop(p.cmd.Process, p.stopSignal)
	select {
	case <-p.done:
		return nil
	case <-time.After(p.grace):
	}
	p.Kill()
	return fmt.Errorf("%s did not stop within %v and was killed; %s", p.name, p.grace, p.describeOutput())
}

// WaitReady calls ready every 20 ms until it returns nil. It gives up when the child is gone, with the
// error that Err returns, and when ctx ends, with its cause, the last error of ready and the end of
// the child's output.
func (p *Process) WaitReady(ctx context.Context, ready func(context.Context) error) error {
	for {
		last := ready(ctx)
		if gone := p.gone(); gone != nil {
			return gone // even if ready was satisfied: by another server on the same port
		}
		if last == nil {
			return nil
		}
		if err := p.pause(ctx); err != nil {
			return fmt.Errorf("%s is not ready: %w (%v); %s", p.name, err, last, p.describeOutput())
		}
	}
}

// WaitOutput waits until the output of the child matches the pattern, and returns the match and its
// groups. It gives up when the child is gone without having printed it, and when ctx ends.
func (p *Process) WaitOutput(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	for {
		gone := p.gone() // before the output is read, so that its last words count
		if match := pattern.FindStringSubmatch(p.Output()); match != nil {
			return match, nil
		}
		if gone != nil {
			return nil, gone
		}
		if err := p.pause(ctx); err != nil {
			return nil, fmt.Errorf("%s did not print %q: %w; %s", p.name, pattern, err, p.describeOutput())
		}
	}
}

// gone returns nil while the child runs.
func (p *Process) gone() error {
	select {
	case <-p.done:
		return cmp.Or(p.Err(), fmt.Errorf("%s was stopped", p.name))
	default:
		return nil
	}
}

// pause waits 20 ms, or less if the child ends. It returns the cause if ctx ends.
func (p *Process) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.done:
	case <-time.After(20 * time.Millisecond):
	}
	return nil
}

// spawn starts cmd and returns a channel that yields how it ended.
func spawn(cmd *exec.Cmd, orphanSignal syscall.Signal) (<-chan error, error) {
	cmd.WaitDelay = cmp.Or(cmd.WaitDelay, waitDelay)
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		// Linux takes the end of the thread that forked for the death of the parent, so this thread
		// must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		release, err := startBound(cmd, orphanSignal)
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		release()
		exited <- err
	}()
	return exited, <-started
}
