package devstack

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"memexport/internal/workshop/process"
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

	process *process.Process
}

// StartServer starts a server and returns once it is ready. The context bounds the start only.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	return retryStart(ctx, func() (*Server, error) {
		port, err := portRequest{of: o.Name}.pick(ctx)
		if err != nil {
			return nil, err
		}
		return o.serve(ctx, port)
	})
}

// Err says why the server is gone, with the last lines of its log. It is nil while it runs and
// after Stop.
func (s *Server) Err() error { return s.process.Err() }

// Stop ends the server, by force after 5 seconds, which is no error: it keeps nothing.
func (s *Server) Stop() { _ = s.process.Stop() }

func (o ServerOptions) serve(ctx context.Context, port int) (*Server, error) {
	log := filepath.Join(o.Dir, o.Name+".log")
	command := o.Command(port)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = o.Dir
	p, err := process.Start(cmd, process.Options{Name: o.Name, Log: log, Grace: serverStopGrace})
	if err != nil {
		return nil, err
	}
	s := &Server{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), PID: p.PID(), LogFile: log, process: p}
	ctx, cancel := context.WithTimeoutCause(ctx, serverStartTimeout, fmt.Errorf("no answer after %v", serverStartTimeout))
	defer cancel()
	err = p.WaitReady(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return o.Ready(ctx, s.Address)
	})
	if err != nil {
		s.Stop()
		return nil, startError(err, p.Output())
	}
	return s, nil
}
