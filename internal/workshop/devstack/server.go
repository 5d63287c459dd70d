package devstack

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	serverStartTimeout = 90 * time.Second
	serverStopGrace    = 5 * time.Second
)

// ServerOptions say how to run a server that tests need besides Postgres and Temporal.
type ServerOptions struct {
	// Name of the server in messages, and of its log.
	Name string
	// Dir is where it runs and logs to, <name>.log. It has to exist.
	Dir string
	// Command is the program and its arguments, for a port on 127.0.0.1 that is free.
	Command func(port int) []string
	// Ready tells why the server does not work yet. It is asked until it returns nil.
	Ready func(ctx context.Context, address string) error
}

// Server is a server that runs as a child process and does not outlive this one.
type Server struct {
	Address string // 127.0.0.1:<port>
	PID     int
	LogFile string

	child *child
}

// StartServer starts a server and returns once it is ready. The context bounds the start only.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	for attempt := 1; ; attempt++ {
		port, err := portRequest{of: o.Name}.pick(ctx)
		if err != nil {
			return nil, err
		}
		s, err := o.serve(ctx, port)
		if err == nil {
			return s, nil
		}
		// Another program was faster to a port that was free. Node says it in its own way.
		taken := strings.Contains(err.Error(), "address already in use") || strings.Contains(err.Error(), "EADDRINUSE")
		if !taken || attempt == startAttempts {
			return nil, err
		}
	}
}

// Err says why the server is gone, with the last lines of its log. It is nil while it runs and
// after Stop.
func (s *Server) Err() error { return s.child.err() }

// Stop ends the server, by force after 5 seconds, which is no error: it keeps nothing.
func (s *Server) Stop() { _ = s.child.stop() }

func (o ServerOptions) serve(ctx context.Context, port int) (*Server, error) {
	log, err := openLog(filepath.Join(o.Dir, o.Name+".log"))
	if err != nil {
		return nil, err
	}
	command := o.Command(port)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = o.Dir
	server := &child{name: o.Name, stopSignal: syscall.SIGTERM, grace: serverStopGrace, log: log, cmd: cmd}
	if err := startChild(server, syscall.SIGKILL); err != nil {
		return nil, err
	}
	s := &Server{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), PID: cmd.Process.Pid, LogFile: log.path, child: server}
	ctx, cancel := context.WithTimeoutCause(ctx, serverStartTimeout,
		fmt.Errorf("%s does not answer after %v: see %s", o.Name, serverStartTimeout, log.path))
	defer cancel()
	var last error
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if err := s.Err(); err != nil {
			return false, err
		}
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		last = o.Ready(attempt, s.Address)
		return last == nil, nil
	})
	if err != nil {
		s.Stop()
		if s.Err() == nil && last != nil {
			err = fmt.Errorf("%w (%w)", err, last)
		}
		return nil, err
	}
	return s, nil
}
