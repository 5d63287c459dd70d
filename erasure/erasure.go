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
	// minutes. That is enough, because an activity learns of a cancellation within 10 seconds, and
	// Temporal notices a dead worker after 30 seconds.
	Wait time.Duration
}

// batch is how many exports are erased together. Their workflows are cancelled together, so that Erase
// waits for all of these workflows at the same time.
const batch = 100

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

// stop cancels the workflows of exports and waits until all of them have ended or only delete objects. After
// that, no activity writes another object.
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
	for _, x := range exports {
		for x.PurgedAt == nil {
			running, err := e.running(ctx, x.ID)
			if err != nil {
				return err
			}
			if !running {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%w after %s, such as %s: their workflows need a running worker to end", ErrRunning, wait, x.ID)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// running reports whether the workflow of an export may still write objects. It returns false if the workflow was
// never started.
func (e *Eraser) running(ctx context.Context, exportID string) (bool, error) {
	description, err := e.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describe the workflow of the export %s: %w", exportID, err)
	}
	// Purge is the last activity of a workflow. It is repeated for as long as the store refuses to delete an object.
	if slices.ContainsFunc(description.PendingActivities, func(a *workflowpb.PendingActivityInfo) bool {
		return a.ActivityType.GetName() == "Purge"
	}) {
		return false, nil
	}
	switch description.WorkflowExecutionInfo.Status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:
		return true, nil
	}
	return false, nil
}
