package worker

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/interceptor"
)

// loadEvery is the interval between calls of Options.Load. The worker does not call it for every activity,
// because small exports start and end hundreds of activities in a second, and a change of Go's memory limit
// stops the program for some microseconds.
const loadEvery = 500 * time.Millisecond

// load counts the activities that run at the same time.
type load struct {
	interceptor.WorkerInterceptorBase
	mu      sync.Mutex
	running int
	most    int // the greatest value of running since the last call of take
}

// InterceptActivity is called by the SDK for each activity.
func (l *load) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &counted{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, load: l}
}

type counted struct {
	interceptor.ActivityInboundInterceptorBase
	load *load
}

// ExecuteActivity runs an activity and counts it while it runs.
func (c *counted) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	c.load.add(1)
	defer c.load.add(-1)
	return c.Next.ExecuteActivity(ctx, in)
}

func (l *load) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running += n
	l.most = max(l.most, l.running)
}

// take returns the greatest number of activities that ran at the same time since the last call.
func (l *load) take() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.most
	l.most = l.running
	return most
}

// tell calls report with the result of l.take twice a second until ctx ends.
func (l *load) tell(ctx context.Context, report func(activities int)) {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			report(l.take())
		case <-ctx.Done():
			return
		}
	}
}
