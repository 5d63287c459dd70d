// Package erasure deletes everything that the service stores about a workspace: its API keys, its exports
// with their objects, and, if the option DeleteAudit is set, its audit events. It does not delete the
// memories themselves, which belong to the memory service.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/workflows"
)

// Eraser erases workspaces. Every field is required unless its comment names a default.
type Eraser struct {
	DB      *sqlx.DB
	Exports *export.Store
	Keys    *apikey.Store
	Archive *archive.Archive
	Audit   *audit.Store
	Client  client.Client
	Starter *workflows.Starter

	// DeleteAudit also deletes the audit events of the workspace. Otherwise the events are kept until
	// their retention is over, and Erase adds an event that says that the workspace was erased.
	DeleteAudit bool
	// Wait is how long Erase waits until the workflows of a batch of exports have ended. Defaults to 2
	// minutes. That is enough, because an activity learns of a cancellation within 15 seconds, and
	// Temporal notices a dead worker after 30 seconds.
	Wait time.Duration
	// Tell is called with the reason before Erase waits for activities that a workflow has left behind. Defaults to
	// a function that does nothing.
	Tell func(message string)
}

// batch is how many exports are erased together. Their workflows are cancelled together, so that Erase
// waits for all of these workflows at the same time.
const batch = 100

// lateWrites is how long an activity may write objects after its workflow was terminated, has timed out, or was reset
// or deleted. Temporal does not wait for such an activity. The activity learns of the end with its next heartbeat.
// The further 30 seconds are for a request that is on its way, and for clocks that differ.
const lateWrites = attempt.HeartbeatTimeout + 30*time.Second

// longPurged is how long after its purge an export needs no look at its workflow. It is much longer than lateWrites,
// because clocks may differ.
const longPurged = time.Hour

// ErrRunning means that some workflows of the workspace did not end in time. All of them have been
// cancelled, so call Erase again later.
var ErrRunning = errors.New("exports are still running")

// Erase deletes everything that the service stores about a workspace, and returns the ids of the exports
// that it found. After an error, call Erase again. It continues where it stopped, because it deletes the
// row of an export only after the export's objects. If the store refuses to delete the objects of an export,
// Erase deletes the other exports before it returns the error.
func (e *Eraser) Erase(ctx context.Context, workspaceID string) (exportIDs []string, err error) {
	// Delete the keys first: export.Store.Create needs the key of its caller, so that no request with a key
	// can create another export. The loop below also finds exports of requests that were accepted before.
	if err := e.Keys.DeleteWorkspace(ctx, workspaceID); err != nil {
		return nil, err
	}
	var failures archive.Failures
	kept := map[string]bool{} // the exports whose objects could not be deleted
	for {
		if err := e.Exports.HideWorkspace(ctx, workspaceID); err != nil {
			return exportIDs, err
		}
		exports, err := e.next(ctx, workspaceID, kept)
		if err != nil {
			return exportIDs, err
		}
		if len(exports) == 0 {
			break
		}
		if err := e.stop(ctx, exports); err != nil {
			return exportIDs, err
		}
		for _, x := range exports {
			exportIDs = append(exportIDs, x.ID)
			err := e.Archive.DeleteExport(ctx, x.ID)
			if ctx.Err() != nil {
				return exportIDs, ctx.Err()
			}
			if stop := failures.Add(x.ID, err); stop {
				return exportIDs, fmt.Errorf("delete objects: %w", failures.Err())
			}
			if err != nil {
				kept[x.ID] = true
				continue
			}
			if err := e.Exports.Remove(ctx, x.ID); err != nil {
				return exportIDs, err
			}
		}
	}
	if err := failures.Err(); err != nil {
		return exportIDs, fmt.Errorf("everything else is deleted, but not all objects: %w", err)
	}
	return exportIDs, e.eraseAudit(ctx, workspaceID)
}

// next returns at most batch exports of a workspace. It leaves out the exports in kept.
func (e *Eraser) next(ctx context.Context, workspaceID string, kept map[string]bool) ([]export.Export, error) {
	for after := uuid.Nil.String(); ; {
		exports, err := e.Exports.OfWorkspace(ctx, workspaceID, after, batch)
		if err != nil || len(exports) == 0 {
			return nil, err
		}
		after = exports[len(exports)-1].ID
		exports = slices.DeleteFunc(exports, func(x export.Export) bool { return kept[x.ID] })
		if len(exports) > 0 {
			return exports, nil
		}
	}
}

func (e *Eraser) eraseAudit(ctx context.Context, workspaceID string) error {
	if e.DeleteAudit {
		_, err := e.Audit.DeleteWorkspace(ctx, workspaceID)
		return err
	}
	return e.Audit.RecordErase(ctx, workspaceID)
}

// stop cancels the workflows of exports and waits until all of them have ended or only delete objects. Then it waits
// until the activities that a workflow has left behind have ended too. After that, no activity writes another object,
// unless its worker stood still all the time: see docs/security.md.
func (e *Eraser) stop(ctx context.Context, exports []export.Export) error {
	for _, x := range exports {
		if x.PurgedAt == nil {
			if err := e.Starter.Cancel(ctx, x.ID); err != nil {
				return err
			}
		}
	}
	wait := e.Wait
	if wait == 0 {
		wait = 2 * time.Minute
	}
	deadline := time.Now().Add(wait)
	var last end
	for _, x := range exports {
		if x.PurgedAt != nil && time.Since(*x.PurgedAt) > longPurged {
			continue
		}
		running, left, err := e.look(ctx, x)
		for err == nil && running && x.PurgedAt == nil {
			if time.Now().After(deadline) {
				return fmt.Errorf("%w after %s, such as %s: their workflows need a running worker to end", ErrRunning, wait, x.ID)
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			running, left, err = e.look(ctx, x)
		}
		if err != nil {
			return err
		}
		if left.at.After(last.at) {
			last = left
		}
	}
	return e.waitForWrites(ctx, last)
}

// end is the end of a workflow that did not wait for its activities. The zero value is an end long ago.
type end struct {
	exportID string
	how      string
	at       time.Time // by the clock of Temporal
}

// waitForWrites waits until the activities have ended that a workflow with this end has left behind.
func (e *Eraser) waitForWrites(ctx context.Context, last end) error {
	wait := min(time.Until(last.at.Add(lateWrites)), lateWrites) // Temporal's clock may be ahead
	if wait <= 0 {
		return nil
	}
	if e.Tell != nil {
		e.Tell(fmt.Sprintf("waiting for %s, because the workflow of the export %s %s: until a worker notices that, it may write objects",
			wait.Round(time.Second), last.exportID, last.how))
	}
	return pause(ctx, wait)
}

// look reports whether the workflow of an export may still start activities that write objects, and how it last
// ended without waiting for its activities. A workflow that was never started is not running.
func (e *Eraser) look(ctx context.Context, x export.Export) (running bool, last end, err error) {
	last.exportID = x.ID
	description, err := e.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(x.ID), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		if x.StoredStatus == export.Processing { // so there was a workflow
			last.how, last.at = "was deleted", time.Now()
		}
		return false, last, nil
	}
	if err != nil {
		return false, last, fmt.Errorf("describe the workflow of the export %s: %w", x.ID, err)
	}
	info := description.GetWorkflowExecutionInfo()
	if started := info.GetStartTime().AsTime(); x.StartedAt != nil && started.After(*x.StartedAt) {
		// The workflow before was deleted, and the reconciler has started another one.
		last.how, last.at = "was started again", started
	}
	if reset := description.GetWorkflowExtendedInfo().GetLastResetTime(); reset != nil { // the run before was terminated then
		last.how, last.at = "was reset", reset.AsTime()
	}
	switch status := info.GetStatus(); {
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		last.how, last.at = "was terminated", info.GetCloseTime().AsTime()
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		last.how, last.at = "has timed out", info.GetCloseTime().AsTime()
	case workflows.Running(status):
		// Purge is the last activity of a workflow. It is repeated for as long as the store refuses to delete an object.
		running = !slices.ContainsFunc(description.GetPendingActivities(), func(a *workflowpb.PendingActivityInfo) bool {
			return a.GetActivityType().GetName() == "Purge"
		})
	}
	return running, last, nil
}

// pause waits for d. It returns an error if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
