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

// startError returns err, which says why a server did not start, as a takenPort if the server's output
// says that a port was the reason. It reads the whole output: a Go program that dies gives the reason
// far above its last lines, which are all that err may show.
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

// portRequest says which port a server gets.
type portRequest struct {
	server  string // as in messages: "Postgres"
	want    int    // 0: the port of the last run if it is free, or otherwise any free port
	flag    string // the flag with which people choose another port: "--postgres-port"
	file    string // where the port of the last run is kept
	exclude int    // a port that another part of the stack gets
}

// pick returns a port that is free at this moment. Another program can still take it before the server
// listens: see takenPort.
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
			if errors.Is(err, syscall.EADDRINUSE) { // none is free
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

// keep remembers the port for the next run. A failure is ignored: the next run then gets another port.
func (r portRequest) keep(port int) {
	_ = os.WriteFile(r.file, []byte(strconv.Itoa(port)+"\n"), 0o644)
}

// waitFree returns once the wanted port is free. It waits up to two seconds for the server of a run that
// was killed a moment ago to release the port.
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
