// Package process starts child processes that do not outlive this process, for the development stack,
// tests and benchmarks.
//
// On Linux, the kernel signals a child when its parent dies, even after kill -9. On other Unix
// systems, each child has a watchdog: a shell that waits until the parent dies and then signals the
// child. On Windows, a child can outlive a parent that is killed. On Unix, every child leads its
// own process group. So Ctrl-C in a terminal reaches only the parent, which then stops its children
// in order.
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
	// defaultGrace is longer than the stop timeouts of the service in tests and benchmarks.
	defaultGrace = 15 * time.Second
	// waitDelay is how long output is still read after a child has exited, because a process that
	// the child started may still have the pipe open.
	waitDelay = 5 * time.Second
)

// Options configure how a child is named, logged and stopped. The zero value is usable.
type Options struct {
	// Name is the child's name in messages. Defaults to the base name of its program.
	Name string
	// Log is the path of the file that the child's standard output and error are appended to. If
	// the file has grown large, it is first renamed to <name>.old. If Log is empty, the output goes
	// to the command's Stdout and Stderr.
	Log string
	// StopSignal is the signal that asks the child to stop. Defaults to SIGTERM. On Windows, the
	// child is killed instead.
	StopSignal syscall.Signal
	// Grace is how long Stop waits after StopSignal before it kills the child. Defaults to 15 s.
	Grace time.Duration
	// OrphanSignal is the signal that the child gets when this process dies. Defaults to SIGKILL.
	OrphanSignal syscall.Signal
}

// Process is a child process. It runs until it is stopped, ends by itself, or this process dies.
type Process struct {
	name       string
	cmd        *exec.Cmd
	log        *logFile // nil if Options.Log is empty
	stopSignal syscall.Signal
	grace      time.Duration

	stopping atomic.Bool
	done     chan struct{} // closed when the child has ended
}

// Start starts cmd. The child keeps running even if the calling goroutine or its thread ends.
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
		defer file.Close() // the child has its own descriptor
		// Use a file instead of a pipe, because a pipe that nobody reads would block or kill the
		// child.
		p.log, cmd.Stdout, cmd.Stderr = log, file, file
	}
	exited, err := spawn(cmd, cmp.Or(o.OrphanSignal, syscall.SIGKILL))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		<-exited // cmd.ProcessState says how the child ended
		close(p.done)
	}()
	return p, nil
}

// PID returns the child's process number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the child has ended and shows the end of its output. Err returns nil while the child
// runs, and after Stop or Kill.
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

// ExitCode waits until the child has ended and returns its exit code, or -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// CPUTime waits until the child has ended and returns the processor time that it used.
func (p *Process) CPUTime() time.Duration {
	<-p.done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Signal sends a signal to the child. It does nothing if the child has ended.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill kills the child and returns when it has ended.
func (p *Process) Kill() {
	p.stopping.Store(true)
	_ = p.cmd.Process.Kill() // it fails only if the child has ended
	<-p.done
}

// Stop asks the child to stop and returns when it has ended. If the child does not end within
// Grace, Stop kills it and returns an error. Stop does nothing if the child has already ended.
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

// WaitReady calls ready every 20 ms until ready returns nil. If the child ends first, WaitReady returns
// the error of Err. If ctx ends first, WaitReady returns an error with the cause of ctx, the last error
// of ready and the end of the child's output.
func (p *Process) WaitReady(ctx context.Context, ready func(context.Context) error) error {
	for {
		last := ready(ctx)
		if gone := p.gone(); gone != nil {
			return gone // ready may have reached another server on the same port
		}
		if last == nil {
			return nil
		}
		if err := p.pause(ctx); err != nil {
			return fmt.Errorf("%s is not ready: %w (%v); %s", p.name, err, last, p.describeOutput())
		}
	}
}

// WaitOutput waits until the child's output matches the pattern and returns the match and its
// groups. It returns an error if the child ends without printing a match, or if ctx ends first.
func (p *Process) WaitOutput(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	for {
		gone := p.gone() // check this before reading the output, so that the output is complete if the child has ended
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

// gone returns nil while the child runs, and otherwise an error, even after Stop or Kill.
func (p *Process) gone() error {
	select {
	case <-p.done:
		return cmp.Or(p.Err(), fmt.Errorf("%s was stopped", p.name))
	default:
		return nil
	}
}

// pause waits 20 ms, or less if the child ends. If ctx ends, it returns the cause of ctx.
func (p *Process) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.done:
	case <-time.After(20 * time.Millisecond):
	}
	return nil
}

// spawn starts cmd and returns a channel that receives the result of cmd.Wait.
func spawn(cmd *exec.Cmd, orphanSignal syscall.Signal) (<-chan error, error) {
	cmd.WaitDelay = cmp.Or(cmd.WaitDelay, waitDelay)
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		// For Pdeathsig, Linux treats the end of the thread that forked as the death of the parent.
		// So this thread must live as long as the child.
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
