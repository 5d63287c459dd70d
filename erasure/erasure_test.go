package erasure_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// A workflow that ends without waiting for its activities leaves them behind: they may still write objects.
func TestAnErasureWaitsForActivitiesThatAWorkflowHasLeftBehind(t *testing.T) {
	shared := newSite(t, "file://"+t.TempDir())
	for name, c := range map[string]struct {
		prepare func(*site) export.Export
		says    string // what Erase says about the workflow before it waits; empty if it must not wait
	}{
		"terminated": {func(s *site) export.Export {
			e := s.unfinished()
			s.terminate(e)
			return e
		}, "was terminated"},
		"terminated and purged": {func(s *site) export.Export {
			e := s.unfinished()
			s.terminate(e)
			s.settle(e)
			return e
		}, "was terminated"},
		"timed out": {func(s *site) export.Export {
			e := s.create()
			s.startElsewhere(e, client.StartWorkflowOptions{WorkflowExecutionTimeout: time.Second})
			await.True(s.T, patience, "the workflow has timed out", func() bool {
				return s.describe(e).GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
			})
			return e
		}, "has timed out"},
		"reset": {func(s *site) export.Export {
			e := s.started(export.Ready)
			s.reset(e)
			return e
		}, "was reset"},
		"deleted workflow": {func(s *site) export.Export {
			e := s.unfinished()
			s.deleteWorkflow(e)
			return e
		}, "was deleted"},
		"deleted workflow that was started again": {func(s *site) export.Export {
			e := s.unfinished()
			s.deleteWorkflow(e)
			s.must(s.starter.Start(s.Context(), e)) // as the reconciler does
			return e
		}, "was started again"},
		"ready":         {func(s *site) export.Export { return s.started(export.Ready) }, ""},
		"never started": {(*site).create, ""},
		"cancelled and purged": {func(s *site) export.Export {
			e := s.started(export.Ready)
			s.must(s.starter.Cancel(s.Context(), e.ID))
			await.True(s.T, patience, "the export is purged", func() bool { return s.find(e.ID).PurgedAt != nil })
			return e
		}, ""},
		"terminated and purged long ago": {func(s *site) export.Export {
			e := s.unfinished()
			s.terminate(e)
			s.settle(e)
			s.db.MustExec(`UPDATE memexport.exports SET purged_at = purged_at - interval '2 hours' WHERE id = $1`, e.ID)
			return e
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := shared.in(t)
			e := c.prepare(s)
			_, err := s.archive.Put(t.Context(), e.ID, 0, 7, []byte("of a late attempt"))
			s.must(err)
			var told []string
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err = s.eraser(func(message string) {
				told = append(told, message)
				cancel() // the test need not wait
			}).Erase(ctx, e.WorkspaceID)
			objects, countErr := s.archive.Count(t.Context(), e.ID)
			s.must(countErr)
			_, findErr := s.exports.Find(t.Context(), e.ID)
			gone := errors.Is(findErr, export.ErrNotFound)
			if c.says == "" {
				if err != nil || len(told) > 0 || objects > 0 || !gone {
					t.Errorf("%v; it said %q, %d objects are left, and the row is gone: %v", err, told, objects, gone)
				}
				return
			}
			runs := c.says == "was reset" || c.says == "was started again" // then the workflow is cancelled, and deletes its objects itself
			if !errors.Is(err, context.Canceled) || objects == 0 && !runs || gone {
				t.Errorf("it did not wait before it deleted: %v; %d objects are left, and the row is gone: %v", err, objects, gone)
			}
			if len(told) != 1 || !strings.Contains(told[0], e.ID+" "+c.says) {
				t.Errorf("it said %q", told)
			}
		})
	}
}

// deleteWorkflow deletes the workflow of an export from Temporal, with its history.
func (s *site) deleteWorkflow(e export.Export) {
	s.Helper()
	_, err := s.client.WorkflowService().DeleteWorkflowExecution(s.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: execution(e)})
	s.must(err)
	await.True(s.T, patience, "the workflow is gone", func() bool { return s.describe(e) == nil })
}

// unfinished starts an export that stays PROCESSING, because no worker runs its workflow.
func (s *site) unfinished() export.Export {
	s.Helper()
	e := s.create()
	s.startElsewhere(e, client.StartWorkflowOptions{})
	_, err := s.exports.Start(s.Context(), e.ID, nil)
	s.must(err)
	return e
}

// startElsewhere starts the workflow of an export on a task queue that no worker polls.
func (s *site) startElsewhere(e export.Export, o client.StartWorkflowOptions) {
	s.Helper()
	o.ID, o.TaskQueue = export.WorkflowID(e.ID), "nobody"
	_, err := s.client.ExecuteWorkflow(s.Context(), o, workflows.Export, workflows.ExportInput{ExportID: e.ID, WorkspaceID: e.WorkspaceID})
	s.must(err)
}

func execution(e export.Export) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: export.WorkflowID(e.ID)}
}

// describe returns what Temporal says about the workflow of an export, or nil if there is no such workflow.
func (s *site) describe(e export.Export) *workflowservice.DescribeWorkflowExecutionResponse {
	description, err := s.client.DescribeWorkflowExecution(s.Context(), export.WorkflowID(e.ID), "")
	if err != nil {
		return nil
	}
	return description
}

// reset resets the workflow of an export to its last task.
func (s *site) reset(e export.Export) {
	s.Helper()
	var last int64
	events := s.client.GetWorkflowHistory(s.Context(), export.WorkflowID(e.ID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		s.must(err)
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			last = event.GetEventId()
		}
	}
	_, err := s.client.ResetWorkflowExecution(s.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: execution(e), Reason: "a test", RequestId: e.ID, WorkflowTaskFinishEventId: last})
	s.must(err)
}
