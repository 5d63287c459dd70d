package archive

import (
	"fmt"
	"time"
)

// maxHung is how many operations of a directory may hang at once. Further ones fail without being tried, because each
// of them occupies a thread of the operating system, and a Go program ends when it has 10,000.
const maxHung = 100

// timeoutError is the error of an operation that got no answer in time.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }

// Timeout tells the API that the store is unavailable, as it does for the timeouts of package net.
func (timeoutError) Timeout() bool { return true }

const errHangs = timeoutError("the disk of BUCKET_URL does not answer")

// await runs do and returns its result. If the bucket is a directory, await returns an error after limit at the
// latest. An operation on a disk that hangs cannot be cancelled, so do then goes on in the background. Once await
// has returned, do must not change anything that the caller uses. When do ends, late is called with its result,
// unless late is nil.
func await[T any](a *Archive, limit time.Duration, do func() (T, error), late func(T, error)) (T, error) {
	if a.dir == "" {
		return do()
	}
	var none T
	if a.hung.Load() >= maxHung {
		return none, fmt.Errorf("%w: %d operations wait for it", errHangs, maxHung)
	}
	type outcome struct {
		value T
		err   error
	}
	done, abandoned := make(chan outcome), make(chan struct{})
	go func() {
		value, err := do()
		select {
		case done <- outcome{value, err}:
		case <-abandoned:
			a.hung.Add(-1)
			if late != nil {
				late(value, err)
			}
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.value, o.err
	case <-timer.C:
		a.hung.Add(1)
		close(abandoned)
		return none, fmt.Errorf("%w for %s", errHangs, limit.Round(time.Millisecond))
	}
}
