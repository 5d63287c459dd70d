package devstack

import (
	"context"
	"fmt"
	"net"
	"os"
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

// ServerOptions configure a server other than Postgres and Temporal.
type ServerOptions struct {
	// Name is the server's name in messages and in the file name of its log.
	Name string
	// Dir is the server's working directory, which must exist. The server's log is <name>.log in
	// Dir.
	Dir string
	// Command returns the program and its arguments. The server must listen on 127.0.0.1:port.
	Command func(port int) []string
	// Ready returns nil if the server works, and otherwise an error that says why it does not. It is
	// called repeatedly until it returns nil.
	Ready func(ctx context.Context, address string) error
	// Unprivileged makes the server run as the user that runs Postgres, if root starts it. Dir must be
	// readable for that user.
	Unprivileged bool
}

// Server is a running server.
type Server struct {
	Address string // 127.0.0.1:<port>
	PID     int
	LogFile string

	process *process.Process
}

// StartServer starts a server and returns once the server is ready. The context limits only the
// start.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	return retryStart(ctx, func() (*Server, error) {
		port, err := portRequest{server: o.Name}.pick(ctx)
		if err != nil {
			return nil, err
		}
		return o.serve(ctx, port)
	})
}

// Err says why the server has ended and shows the end of its log. Err returns nil while the server runs,
// and after Stop.
func (s *Server) Err() error { return s.process.Err() }

// Stop stops the server. If that takes more than 5 seconds, Stop kills the server, because nobody needs
// the server's data any more.
func (s *Server) Stop() { _ = s.process.Stop() }

func (o ServerOptions) serve(ctx context.Context, port int) (*Server, error) {
	log := filepath.Join(o.Dir, o.Name+".log")
	command := o.Command(port)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = o.Dir
	if o.Unprivileged && os.Geteuid() == 0 {
		runAs, err := accountFor(o.Dir)
		if err != nil {
			return nil, err
		}
		runAs.apply(cmd)
	}
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
