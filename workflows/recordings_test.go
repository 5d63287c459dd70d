package workflows_test

import (
	"context"
	"flag"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// update makes TestRecordHistories record new histories with the current code. Keep the old files, and
// record new histories under new names: workflows that sleep in production were started by older code,
// and the current code must still replay their histories.
//
//	go test ./workflows -run TestRecordHistories -update
var update = flag.Bool("update", false, "record new files in testdata/histories")

const histories = "testdata/histories"

// recordings run exports on a real server up to the point where their history is recorded. The
// activities are stubs that are registered under the names of the real ones.
var recordings = map[string]func(t *testing.T) *live{
	"happy": func(t *testing.T) *live {
		s := newStub(3)
		s.parallel = 2
		s.ready, s.grace = 500*time.Millisecond, 500*time.Millisecond
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"composed": func(t *testing.T) *live {
		s := newComposing(2)
		s.ready, s.grace = 0, 0
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"retried": func(t *testing.T) *live {
		s := newStub(2).failing("Publish", 1, sdk.NewApplicationError("the database is away", "DatabaseUnavailable"))
		s.ready, s.grace = 0, 0
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"nothing-matches": func(t *testing.T) *live {
		s := newStub(0)
		s.ready, s.grace = 0, 0
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"found-ready": func(t *testing.T) *live {
		s := newStub(2)
		s.grace = 500 * time.Millisecond
		s.planned = activities.Settled{Status: export.Ready, Memories: 2000, Bytes: 8000, ExpiresAt: time.Now().Add(500 * time.Millisecond)}
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"found-expired": func(t *testing.T) *live {
		s := newStub(2)
		s.planned = activities.Settled{Status: export.Expired, ExpiresAt: time.Now(), PurgeAt: time.Now().Add(500 * time.Millisecond)}
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"found-failed": func(t *testing.T) *live {
		s := newStub(2)
		s.planned = activities.Settled{Status: export.Failed, Code: export.CodeTerminated, Purged: true}
		l := recorded(t, s)
		if l.result() == nil {
			t.Error("the workflow did not fail")
		}
		return l
	},
	"published-when-expired": func(t *testing.T) *live {
		s := newStub(2)
		s.published = activities.Settled{Status: export.Expired, ExpiresAt: time.Now(), PurgeAt: time.Now().Add(500 * time.Millisecond)}
		l := recorded(t, s)
		if err := l.result(); err != nil {
			t.Error(err)
		}
		return l
	},
	"reset-after-publish": func(t *testing.T) *live { // recorded while the new run is still running
		l := recorded(t, newStub(1))
		l.untilAsleep()
		l.stub.planned = activities.Settled{Status: export.Ready, Memories: 1000, ExpiresAt: time.Now().Add(72 * time.Hour)}
		l.reset()
		l.untilAsleep()
		return l
	},
	"three-ranges": func(t *testing.T) *live { return completed(t, newStub(3)) },
	"small":        func(t *testing.T) *live { return completed(t, newSmall()) },
	"small-retried": func(t *testing.T) *live {
		return completed(t, newSmall().failing("Plan", 1, sdk.NewApplicationError("the store is away", "StorageUnavailable")))
	},
	"handed-over":       func(t *testing.T) *live { return completed(t, newStub(2).failing("WriteRange", 1, errStopping)) },
	"small-handed-over": func(t *testing.T) *live { return completed(t, newSmall().failing("Plan", 1, errStopping)) },
	"small-cancelled": func(t *testing.T) *live {
		s := newSmall()
		s.on["Plan"] = func(ctx context.Context, _ int) error { return untilCancelled(ctx) }
		l := recorded(t, s)
		await.True(t, patience, "Plan runs", func() bool { return len(l.called("Plan")) == 1 })
		l.cancel()
		if err := l.result(); !sdk.IsCanceledError(err) {
			t.Error(err)
		}
		return l
	},
	"timer-too-early": func(t *testing.T) *live {
		s := newSmall()
		s.left = 500 * time.Millisecond
		return completed(t, s)
	},
	"cancelled-while-writing": cancelledWhileWriting,
	"failed-while-writing":    failedWhileWriting,
	"cancelled-before-start": func(t *testing.T) *live {
		registerAttributes(t)
		l := newLive(t, newStub(1))
		l.attributes = true
		l.start()
		l.cancel()
		l.work()
		if err := l.result(); !sdk.IsCanceledError(err) {
			t.Error(err)
		}
		return l
	},
	"asleep": func(t *testing.T) *live { // recorded while the workflow is still running
		l := recorded(t, newStub(2))
		l.untilAsleep()
		return l
	},
	"cancelled-asleep": func(t *testing.T) *live {
		l := recorded(t, newStub(1))
		l.untilAsleep()
		l.cancel()
		if err := l.result(); !sdk.IsCanceledError(err) {
			t.Error(err)
		}
		return l
	},
	"expire-now": func(t *testing.T) *live {
		s := newStub(1)
		s.grace = 500 * time.Millisecond
		l := recorded(t, s)
		l.untilAsleep()
		handle, err := temporal.client.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: l.id, UpdateName: workflows.UpdateExpireNow, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = handle.Get(t.Context(), nil)
		}
		if err == nil {
			err = l.result()
		}
		if err != nil {
			t.Error(err)
		}
		return l
	},
}

func recorded(t *testing.T, s *stub) *live {
	registerAttributes(t)
	l := newLive(t, s)
	l.attributes = true
	l.start()
	l.work()
	return l
}

// completed runs an export whose sleeps take half a second.
func completed(t *testing.T, s *stub) *live {
	s.ready, s.grace = 500*time.Millisecond, 500*time.Millisecond
	l := recorded(t, s)
	if err := l.result(); err != nil {
		t.Error(err)
	}
	return l
}

// untilAsleep returns when the workflow has started its timer and waits for it.
func (l *live) untilAsleep() {
	l.Helper()
	await.True(l.T, patience, "the export sleeps", func() bool {
		events := l.history().GetEvents()
		return events[len(events)-1].GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED
	})
}

// reset resets a sleeping workflow to the task that started its timer. The new run starts the timer again, and
// takes the results of the activities from the history.
func (l *live) reset() {
	l.Helper()
	events := l.history().GetEvents()
	_, err := temporal.client.ResetWorkflowExecution(l.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: l.id}, RequestId: l.Name(),
		WorkflowTaskFinishEventId: events[len(events)-1].GetEventId() - 2, // the task that started the timer
	})
	if err != nil {
		l.Fatal(err)
	}
}
