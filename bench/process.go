package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// stopGrace is how long a process that is told to stop has before it is killed: longer than the
// STOP_TIMEOUT that it is started with.
const stopGrace = 15 * time.Second

// process is a child that runs until stop is called, or until this process dies.
type process struct {
	name     string
	log      string // the file that it writes to
	cmd      *exec.Cmd
	stopping atomic.Bool
	exited   chan struct{}
}

// startProcess starts the program with its output in a file of logDir. If it ends by itself, died
// is called.
func startProcess(name, logDir string, died func(error), environment []string, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(logDir, name+".log"), cmd: exec.Command(program, args...), exited: make(chan struct{})}
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = file, file, environment
	bindToParent(p.cmd)
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that forked for the death of the parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = p.cmd.Wait() // ProcessState says how it ended
		close(p.exited)
		if !p.stopping.Load() {
			died(fmt.Errorf("%s stopped unexpectedly (%s); the end of %s:\n%s", name, p.cmd.ProcessState, p.log, tail(p.log)))
		}
	}()
	return p, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process in good order, or kills it if that takes too long.
func (p *process) stop() error {
	p.stopping.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it is gone
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopGrace):
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	return fmt.Errorf("%s did not stop within %s and was killed; the end of %s:\n%s", p.name, stopGrace, p.log, tail(p.log))
}

// tail is the end of a log.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}
