// Package attempt holds what every attempt of an activity has in common: heartbeats, the hand-over to
// another worker when the present worker stops, and the errors that Temporal sees.
package attempt

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

const (
	// HeartbeatEvery is the interval between two heartbeats. The response to a heartbeat tells the
	// activity whether it was cancelled. So an activity learns of a cancellation within this interval.
	// The SDK tries to send a heartbeat for half of worker.Options.MaxHeartbeatThrottleInterval, with
	// pauses of up to 1.8 seconds. Then it cancels the activity. So Temporal may be away for 5 seconds.
	HeartbeatEvery = 15 * time.Second
	// HeartbeatTimeout is how long a worker may be silent before Temporal starts another attempt on
	// another worker. It is two intervals, because a heartbeat may be sent up to one interval late.
	HeartbeatTimeout = 2 * HeartbeatEvery
)

// Heartbeat records heartbeats in the background until stop is called, even while the activity waits
// for a database or a store. A heartbeat says only that the worker is alive. Requests to a database
// or a store have their own timeouts.
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
