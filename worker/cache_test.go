package worker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/worker"
	"memexport/workflows"
)

// Sleeping exports must not stay in the worker's memory for days. A worker that keeps two workflows replays the
// others when their next task comes, and for that it asks for their histories.
func forgetsSleepingExports(t *testing.T, server string) {
	var histories atomic.Int64 // how often the worker has asked for a history
	s := newSite(t, dial(t, server, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any,
		conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		if _, ok := request.(*workflowservice.GetWorkflowExecutionHistoryRequest); ok {
			histories.Add(1)
		}
		return invoke(ctx, method, request, reply, conn, o...)
	})))
	s.starter = workflows.NewStarter(dial(t, server), "default", t.Name())
	s.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id) VALUES (gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1)`, workspaceID)
	s.options.CachedWorkflows = 2
	var inMemory atomic.Int64 // the number of workflows in memory that Load has received last
	s.options.Load = func(l worker.Load) { inMemory.Store(int64(l.Workflows)) }
	s.run(s.options)
	var ids []string
	for range 5 {
		id := s.start()
		await.True(t, patience, "the export is READY", func() bool { return s.find(id).Status == export.Ready })
		ids = append(ids, id)
	}
	await.True(t, patience, "the worker tells of one or two workflows in memory", func() bool { n := inMemory.Load(); return n == 1 || n == 2 })
	for _, id := range ids {
		if err := s.starter.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		await.True(t, patience, "the export is purged", func() bool { return s.find(id).PurgedAt != nil })
	}
	await.True(t, patience, "the worker tells that no workflow is left in memory", func() bool { return inMemory.Load() == 0 })
	if n := histories.Load(); n < 3 {
		t.Errorf("the worker replayed %d of 5 sleeping exports, want all but the 2 that stay in memory", n)
	}
}
