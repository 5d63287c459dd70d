package devstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Lock takes the lock on dir, so that only this process runs a stack there. It creates dir when
// missing. The caller must keep release and call it at the end. If the process dies first, the
// kernel releases the lock. If another process holds the lock, the error names that process and
// says what to do.
func Lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, dirMode()); err != nil {
		return nil, fmt.Errorf("create the directory of the dev stack: %w; use --dir to choose another", err)
	}
	path := filepath.Join(dir, "lock")
	lock := flock.New(path, flock.SetPermissions(0o644))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w; use --dir to choose another directory", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("another memexport dev (pid %s) runs in %s: stop it, or use --dir", holder(path), dir)
	}
	// Ignore an error here, because only the message above needs the number in the file.
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o644)
	return func() { _ = lock.Close() }, nil
}

// holder returns the number of the process that holds the lock, to be shown in a message.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// waitLock takes the lock at path. While another process holds the lock, waitLock waits without a limit
// and calls waiting, first at once and then every 15 seconds.
func waitLock(ctx context.Context, path string, waiting func(since time.Duration)) (release func(), err error) {
	const every = 15 * time.Second
	lock := flock.New(path, flock.SetPermissions(0o644))
	begin, told := time.Now(), time.Time{}
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		ok, err := lock.TryLock()
		if ok || err != nil {
			return ok, err
		}
		if time.Since(told) > every {
			told = time.Now()
			waiting(time.Since(begin).Round(time.Second))
		}
		return false, nil
	})
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = lock.Close() }, nil
}

// poll calls done periodically until done returns true or an error, or ctx ends.
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
