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

// Lock makes this process the only one that runs a stack in dir, which is created when missing.
// Keep release and call it at the end. If the process dies first, the kernel drops the lock. If
// another process holds the lock, the error names that process and says what to do.
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
	// The number is only for the message above, so failing to write it must not fail the start.
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o644)
	return func() { _ = lock.Close() }, nil
}

// holder returns the number of the process that holds the lock, for a message.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// waitLock takes the lock at path, however long another process holds it. Meanwhile it calls waiting
// at once and then every 15 seconds.
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
