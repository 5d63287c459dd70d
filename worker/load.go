package worker

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// Load is what a worker does at some time.
type Load struct {
	Activities int // how many activities run
	Workflows  int // how many workflows are in memory; most of them sleep
}

// loadEvery is the interval between calls of Options.Load. The worker does not call it for every activity,
// because small exports start and end hundreds of activities in a second, and a change of Go's memory limit
// stops the program for some microseconds.
const loadEvery = 500 * time.Millisecond

// load counts the activities that run at the same time, and the workflows in memory.
type load struct {
	interceptor.WorkerInterceptorBase
	mu   sync.Mutex
	now  Load
	most int // the greatest value of now.Activities since the last call of take
}

// InterceptActivity is called by the SDK for each activity.
func (l *load) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &countedActivity{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, load: l}
}

// InterceptWorkflow is called by the SDK for each workflow that it runs from its beginning, or replays.
func (l *load) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &countedWorkflow{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, load: l}
}

type countedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	load *load
}

// ExecuteActivity runs an activity and counts it while it runs.
func (c *countedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	c.load.add(Load{Activities: 1})
	defer c.load.add(Load{Activities: -1})
	return c.Next.ExecuteActivity(ctx, in)
}

type countedWorkflow struct {
	interceptor.WorkflowInboundInterceptorBase
	load *load
}

// ExecuteWorkflow runs a workflow and counts it until it ends or leaves the memory. In both cases the SDK runs the
// deferred call.
func (c *countedWorkflow) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	c.load.add(Load{Workflows: 1})
	defer c.load.add(Load{Workflows: -1})
	return c.Next.ExecuteWorkflow(ctx, in)
}

func (l *load) add(change Load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Activities += change.Activities
	l.now.Workflows += change.Workflows
	l.most = max(l.most, l.now.Activities)
}

// take returns the greatest number of activities that ran at the same time since the last call, and how many
// workflows are in memory now.
func (l *load) take() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := Load{Activities: l.most, Workflows: l.now.Workflows}
	l.most = l.now.Activities
	return taken
}

// tell calls report with the result of l.take twice a second until ctx ends.
func (l *load) tell(ctx context.Context, report func(Load)) {
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
