package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"memexport/internal/workshop/process"
)

// member is one process of the service, which can be started again.
type member struct {
	name, command string
	address       string // of an API
	admin         string // where its metrics are
	environment   []string
	stack         *stack

	mu      sync.Mutex
	process *process.Process
	down    bool // the nemesis wants it to stay down
}

// start starts the process unless it runs.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		select {
		case <-m.process.Done():
		default:
			return nil
		}
	}
	cmd := exec.Command(m.stack.program, m.command)
	cmd.Dir = m.stack.dir
	cmd.Env = slices.Concat(m.stack.environment, m.environment)
	m.down = false
	var err error
	m.process, err = process.Start(cmd, process.Options{Name: m.name, Log: filepath.Join(m.stack.dir, m.name+".log")})
	return err
}

func (m *member) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		m.down = true
		m.process.Kill()
	}
}

// terminate asks the process to stop and returns when it has stopped.
func (m *member) terminate() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	return m.process.Stop()
}

func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process.Signal(s)
}

// pid returns the id of the latest process.
func (m *member) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process.PID()
}

// ended returns an error that says how the process ended by itself, or nil.
func (m *member) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || m.process == nil {
		return nil
	}
	return m.process.Err()
}

// supervise starts processes again that have ended by themselves, as systemd or Kubernetes does. A process ends if
// it finds no database when it starts. supervise also starts a process again that has panicked, but checkSecrecy
// later finds the panic in the log.
func (w *world) supervise(ctx context.Context) {
	for pause(ctx, time.Second) {
		for _, m := range w.members() {
			err := m.ended()
			if err == nil {
				continue
			}
			lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
			w.count("starts that failed")
			w.say("%s has ended by itself: %s", m.name, lines[len(lines)-1])
			if w.soak > 0 {
				w.violate("", "%s has ended by itself, although there are no faults: %v", m.name, err)
			}
			if healed := w.healed.Load(); healed != nil && time.Since(*healed) > time.Minute {
				w.violate("", "%s does not run a minute after the last fault: %v", m.name, err)
			}
			if err := m.start(); err != nil {
				w.violate("", "%s cannot be started, so the test has failed: %v", m.name, err)
			}
		}
	}
}

func (s *stack) members() []*member { return slices.Concat(s.apis, s.workers) }
