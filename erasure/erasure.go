// Package erasure removes everything that the service holds about a workspace: its API keys, its exports
// with their objects, and, if asked, its audit events. The memories themselves belong to the memory
// service.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/workflows"
)

// Eraser erases workspaces. Every field without a default is required.
type Eraser struct {
	DB      *sqlx.DB
	Exports *export.Store
	Keys    *apikey.Store
	Archive *archive.Archive
	Audit   *audit.Store
	Client  client.Client
	Starter *workflows.Starter

	// DeleteAudit also erases the audit events of the workspace. Otherwise they stay for their retention,
	// with one that says that the workspace was erased.
	DeleteAudit bool
	// Wait is how long Erase waits for the workflows of a batch of exports to end. Defaults to 2 minutes:
	// an activity learns of a cancellation within 10 seconds, and a dead worker is noticed after 30.
	Wait time.Duration
}

// batch is how many exports are erased together. Their workflows end at the same time.
const batch = 100

// ErrRunning means that workflows of the workspace did not end in time. They were asked to, so that
// another call finds less to do.
var ErrRunning = errors.New("exports are still running")

// Erase removes everything of a workspace, and returns the ids of the exports that it found. It can be
// called again after an error, and goes on where it stopped: an export's row is deleted last, after its
// objects.
func (e *Eraser) Erase(ctx context.Context, workspaceID string) (exportIDs []string, err error) {
	// Without keys no request can create another export. One that has been accepted already ends up in a
	// later batch.
	if err := e.Keys.DeleteWorkspace(ctx, workspaceID); err != nil {
		return nil, err
	}
	for {
		if err := e.Exports.HideWorkspace(ctx, workspaceID); err != nil {
			return exportIDs, err
		}
		exports, err := e.Exports.OfWorkspace(ctx, workspaceID, uuid.Nil.String(), batch)
		if err != nil {
			return exportIDs, err
		}
		if len(exports) == 0 {
			return exportIDs, e.eraseAudit(ctx, workspaceID)
		}
		if err := e.stop(ctx, exports); err != nil {
			return exportIDs, err
		}
		for _, x := range exports {
			exportIDs = append(exportIDs, x.ID)
			if err := e.Archive.DeleteExport(ctx, x.ID); err != nil {
				return exportIDs, fmt.Errorf("delete the objects of the export %s: %w", x.ID, err)
			}
			if err := e.Exports.Remove(ctx, x.ID); err != nil {
				return exportIDs, err
			}
		}
	}
}

func (e *Eraser) eraseAudit(ctx context.Context, workspaceID string) error {
	if e.DeleteAudit {
		_, err := e.Audit.DeleteWorkspace(ctx, workspaceID)
		return err
	}
	return e.Audit.Record(ctx, audit.Event{Action: audit.Erase, WorkspaceID: workspaceID})
}

// stop cancels the workflows of exports and waits until all of them have ended: only then does no
// activity write another object.
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

// running reports whether the workflow of an export runs. One that was never started does not.
func (e *Eraser) running(ctx context.Context, exportID string) (bool, error) {
	description, err := e.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describe the workflow of the export %s: %w", exportID, err)
	}
	switch description.WorkflowExecutionInfo.Status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:
		return true, nil
	}
	return false, nil
}
