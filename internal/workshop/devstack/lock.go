package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lock makes this process the only one that runs a stack in dir, which is created when missing.
// The kernel drops the lock when the process dies; release drops it earlier. The error, when
// another process has it, names that process and the way out.
func Lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the directory of the dev stack: %w; use --dir to choose another", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w; use --dir to choose another directory", err)
	}
	err = flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer file.Close()
		return nil, fmt.Errorf("another memexport dev (pid %s) runs in %s: stop it, or use --dir", holder(path), dir)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The number is only for the message above, so failing to write it must not fail the start.
	_ = file.Truncate(0)
	_, _ = fmt.Fprintln(file, os.Getpid())
	held.Store(file, nil)
	return func() {
		held.Delete(file)
		file.Close()
	}, nil
}

// held keeps the lock files from the garbage collector, which would close one, and so drop the
// lock, when the caller does not keep release.
var held sync.Map

// waitLock takes the lock that path stands for, however long another process holds it, and calls
// waiting about every 15 seconds meanwhile.
func waitLock(ctx context.Context, path string, waiting func(time.Duration)) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	begin, told := time.Now(), time.Time{}
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return true, err
		}
		if time.Since(told) > progressEvery {
			told = time.Now()
			waiting(time.Since(begin).Round(time.Second))
		}
		return false, nil
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func holder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// poll calls done until it reports true or an error, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
