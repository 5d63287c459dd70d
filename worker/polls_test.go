package worker_test

import (
	"context"
	"sync"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// polls counts the open polls for workflow tasks. It changes the answers of the server: each task of a cached
// workflow comes with the hint that more of them wait.
type polls struct {
	mu                sync.Mutex
	forCached, forNew int // open polls
	hints             int // answers that were changed
}

func (p *polls) add(kind enumspb.TaskQueueKind, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind == enumspb.TASK_QUEUE_KIND_STICKY {
		p.forCached += n
	} else {
		p.forNew += n
	}
}

func (p *polls) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	poll, ok := request.(*workflowservice.PollWorkflowTaskQueueRequest)
	if !ok {
		return invoke(ctx, method, request, reply, conn, o...)
	}
	kind := poll.GetTaskQueue().GetKind()
	p.add(kind, 1)
	defer p.add(kind, -1)
	err := invoke(ctx, method, request, reply, conn, o...)
	if task := reply.(*workflowservice.PollWorkflowTaskQueueResponse); err == nil && kind == enumspb.TASK_QUEUE_KIND_STICKY && len(task.GetTaskToken()) > 0 {
		task.BacklogCountHint = 5
		p.mu.Lock()
		p.hints++
		p.mu.Unlock()
	}
	return err
}

// A worker must poll for new workflows even if the server has hinted that tasks of cached workflows wait. If the
// hint is out of date, a poll for tasks of cached workflows lasts a minute, and new workflows would have to wait.
func pollsForNewWorkflows(t *testing.T, server string) {
	var p polls
	s := newSite(t, dial(t, server, grpc.WithChainUnaryInterceptor(p.intercept)))
	// Use a client other than the worker's client. A workflow that starts through the worker's client reaches the
	// worker without a poll.
	s.starter = workflows.NewStarter(dial(t, server), "default", t.Name())
	s.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id) VALUES (gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1)`, workspaceID)
	s.run(s.options)
	for range 3 {
		id := s.start()
		await.True(t, patience, "the export is READY", func() bool { return s.find(id).Status == export.Ready })
		await.True(t, patience/2, "the worker polls for tasks of both kinds", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.hints > 0 && p.forCached > 0 && p.forNew > 0
		})
	}
}
