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

// ServerOptions say how to run any other server that tests need.
type ServerOptions struct {
	// Name of the server in messages and in the name of its log.
	Name string
	// Dir is the server's working directory, which must exist. The log is <name>.log in it.
	Dir string
	// Command returns the program and its arguments. The server must listen on 127.0.0.1:port.
	Command func(port int) []string
	// Ready returns nil once the server works, and otherwise says why it does not. It is called until
	// it returns nil.
	Ready func(ctx context.Context, address string) error
}

// Server is a running server.
type Server struct {
	Address string // 127.0.0.1:<port>
	PID     int
	LogFile string

	process *process.Process
}

// StartServer starts a server and returns once it is ready. The context bounds only the start.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	return retryStart(ctx, func() (*Server, error) {
		port, err := portRequest{server: o.Name}.pick(ctx)
		if err != nil {
			return nil, err
		}
		return o.serve(ctx, port)
	})
}

// Err says why the server is gone, with the end of its log. It is nil while the server runs, and after
// Stop.
func (s *Server) Err() error { return s.process.Err() }

// Stop ends the server, by force after 5 seconds: its state is not needed any more.
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
