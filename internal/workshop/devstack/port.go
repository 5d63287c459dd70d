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

// startAttempts is how often a server is started at most if other programs keep taking its ports. Because
// of the pauses, the last attempt begins about five seconds after the first.
const (
	startAttempts = 5
	startPause    = 500 * time.Millisecond // the pause before the second attempt; each later pause is 500 ms longer
)

// takenPort is the error of a start that failed because of a port. Either another program took the port
// after pick had found it free, or no port was free at that moment. The caller should start the server
// again with other ports.
type takenPort struct{ error }

func (t takenPort) Unwrap() error { return t.error }

// startError wraps err in a takenPort if the server's output says that the start failed because of
// a port. The caller passes the whole output, because a Go program that panics prints the reason
// far above its last lines, and err may contain only the last lines.
func startError(err error, output string) error {
	for _, words := range []string{"address already in use", "EADDRINUSE", "could not bind"} {
		if strings.Contains(output, words) {
			return takenPort{err}
		}
	}
	return err
}

// retryStart calls start until it succeeds or fails for another reason than a takenPort, at most
// startAttempts times.
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

// portRequest describes which port a server should get.
type portRequest struct {
	server  string // the server's name in messages, such as "Postgres"
	want    int    // the required port; if 0, the port of the last run if that port is free, and otherwise any free port
	flag    string // the flag that chooses another port, such as "--postgres-port"
	file    string // the file that contains the port of the last run
	exclude int    // a port that another server of the stack uses
}

// pick returns a port that is free at this moment. Another program can still take the port before
// the server listens on it: see takenPort.
func (r portRequest) pick(ctx context.Context) (int, error) {
	if r.want != 0 {
		return r.want, r.waitFree(ctx)
	}
	if text, err := os.ReadFile(r.file); err == nil {
		port, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && port > 0 && port != r.exclude && tryListen(port) == nil {
			return port, nil
		}
	}
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			err = fmt.Errorf("find a free port for %s: %w", r.server, err)
			if errors.Is(err, syscall.EADDRINUSE) { // no port is free
				err = takenPort{err}
			}
			return 0, err
		}
		port := listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		if port != r.exclude {
			return port, nil
		}
	}
}

// keep saves the port for the next run. It ignores errors: without the file, the next run uses
// another port.
func (r portRequest) keep(port int) {
	_ = os.WriteFile(r.file, []byte(strconv.Itoa(port)+"\n"), 0o644)
}

// waitFree returns once the wanted port is free. It waits for up to two seconds, because the server of a
// run that was killed a moment ago may still use the port.
func (r portRequest) waitFree(ctx context.Context) error {
	if r.want == r.exclude {
		return fmt.Errorf("%s cannot use port %d, which another part of the stack uses: choose another port with %s",
			r.server, r.want, r.flag)
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
			"(`lsof -i :%d` names it), or choose another port with %s", r.want, r.server, r.want, r.flag)
	}
	return fmt.Errorf("%s cannot listen on port %d: %w; choose another with %s", r.server, r.want, last, r.flag)
}

func tryListen(port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}
