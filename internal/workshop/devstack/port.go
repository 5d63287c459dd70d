package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// portRequest is how a server comes to its port.
type portRequest struct {
	of   string // whose port: "Postgres"
	want int    // 0: the one of last time if it is free, else any free one
	flag string // how people choose another: "--postgres-port"
	file string // where the port of last time is kept
	not  int    // a port that is spoken for
}

// pick returns a port that is free at this moment. Another program can still take it before the
// server does, which the server's own message then tells.
func (r portRequest) pick(ctx context.Context) (int, error) {
	if r.want != 0 {
		return r.want, r.waitFree(ctx)
	}
	if text, err := os.ReadFile(r.file); err == nil {
		port, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && port > 0 && port != r.not && tryListen(port) == nil {
			return port, nil
		}
	}
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a free port for %s: %w", r.of, err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		if port != r.not {
			return port, nil
		}
	}
}

// keep remembers the port for the next start. It is a convenience, so a failure is not an error.
func (r portRequest) keep(port int) {
	_ = os.WriteFile(r.file, []byte(strconv.Itoa(port)+"\n"), 0o644)
}

// waitFree gives the server of a run that was killed a moment ago the time to let go of the port.
func (r portRequest) waitFree(ctx context.Context) error {
	if r.want == r.not {
		return fmt.Errorf("%s cannot have port %d, which another part of the stack uses: choose another with %s",
			r.of, r.want, r.flag)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var last error
	if poll(ctx, 100*time.Millisecond, func() (bool, error) {
		last = tryListen(r.want)
		return !errors.Is(last, syscall.EADDRINUSE), nil
	}) == nil && last == nil {
		return nil
	}
	if errors.Is(last, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of 127.0.0.1, meant for %s, is in use: stop the program that listens there "+
			"(`lsof -i :%d` names it), or choose another port with %s", r.want, r.of, r.want, r.flag)
	}
	return fmt.Errorf("%s cannot listen on port %d: %w; choose another with %s", r.of, r.want, last, r.flag)
}

func tryListen(port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}
