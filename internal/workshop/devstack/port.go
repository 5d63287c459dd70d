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

// startAttempts bounds how often a server is started while other programs take its ports. With the
// pauses in between, the last start is five seconds after the first.
const (
	startAttempts = 5
	startPause    = 500 * time.Millisecond // before the second attempt; twice that before the third
)

// takenPort is a start that failed because of a port: another program had taken one that was free when
// it was picked, or none was free at that moment. A new start, on other ports, heals it.
type takenPort struct{ error }

func (t takenPort) Unwrap() error { return t.error }

// startError returns err, why a server did not start, as a takenPort if the output of the server says
// so. The output and not the error: a Go program that dies says it far above its last lines.
func startError(err error, output string) error {
	for _, words := range []string{"address already in use", "EADDRINUSE", "could not bind"} {
		if strings.Contains(output, words) {
			return takenPort{err}
		}
	}
	return err
}

// retryStart calls start again, up to startAttempts times in all, while it fails with a takenPort.
func retryStart[S any](ctx context.Context, start func() (S, error)) (S, error) {
	for attempt := 1; ; attempt++ {
		server, err := start()
		if _, taken := errors.AsType[takenPort](err); !taken || attempt == startAttempts {
			return server, err
		}
		select {
		case <-ctx.Done():
			return server, context.Cause(ctx)
		case <-time.After(time.Duration(attempt) * startPause):
		}
	}
}

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
			err = fmt.Errorf("find a free port for %s: %w", r.of, err)
			if errors.Is(err, syscall.EADDRINUSE) { // not one is free
				err = takenPort{err}
			}
			return 0, err
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
