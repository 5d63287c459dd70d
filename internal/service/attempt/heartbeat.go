// Package attempt holds what every attempt of an activity has in common: heartbeats, the hand-over
// to another worker when this one stops, and the errors that Temporal sees.
package attempt

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// heartbeatEvery is well below the heartbeat timeout that the workflows set, 30 s.
const heartbeatEvery = 5 * time.Second

// Heartbeat records heartbeats until stop is called, whatever the activity waits for. A heartbeat
// says only that the worker is alive: the waits have timeouts of their own.
func Heartbeat(ctx context.Context) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(heartbeatEvery)
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
