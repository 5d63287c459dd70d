// Package attempt holds what every attempt of an activity has in common: heartbeats, the hand-over
// to another worker when this one stops, and the errors that Temporal sees.
package attempt

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

const (
	// HeartbeatEvery is the interval between two heartbeats. A cancellation reaches the activity with
	// the answer to a heartbeat, so that it takes at most as long.
	HeartbeatEvery = 5 * time.Second
	// HeartbeatTimeout is how long a worker may be silent before Temporal starts another attempt on
	// another worker: several heartbeats, so that one that is late or lost does not matter.
	HeartbeatTimeout = 30 * time.Second
)

// Heartbeat records heartbeats until stop is called, whatever the activity waits for. A heartbeat
// says only that the worker is alive: the waits have timeouts of their own.
func Heartbeat(ctx context.Context) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(HeartbeatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
