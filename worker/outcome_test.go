package worker_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// outcome returns the status of an export in the database, its failure code, and the status of its workflow.
// It returns an error if the API or the Temporal UI shows another status of the export than the database.
func (b *buttonTable) outcome(ctx context.Context, id string) (string, error) {
	e, err := b.exports.Find(ctx, id)
	if err != nil {
		return "", err
	}
	outcome := string(e.Status)
	if e.Failure != nil {
		outcome += " " + e.Failure.Code
	}
	if shown, err := b.shownByAPI(ctx, e); err != nil || shown != outcome {
		return "", fmt.Errorf("the row is %s, but the API shows %s: %w", outcome, shown, err)
	}
	described, err := b.options.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(id), "")
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return outcome + ", none", nil
	}
	if err != nil {
		return "", err
	}
	status := described.GetWorkflowExecutionInfo().GetStatus()
	if e.Status.Terminal() && status != enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED {
		var shown string
		if err := converter.GetDefaultDataConverter().FromPayload(
			described.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[workflows.AttributeStatus.GetName()], &shown); err != nil || shown != string(e.Status) {
			return "", fmt.Errorf("the row is %s, but ExportStatus is %s: %w", outcome, shown, err)
		}
		details, err := b.details(ctx, id)
		if err != nil || !strings.HasPrefix(details, "**"+string(e.Status)+"**") || e.Failure != nil && !strings.Contains(details, "`"+e.Failure.Code+"`") {
			return "", fmt.Errorf("the row is %s, but the details are %q: %w", outcome, details, err)
		}
	}
	return outcome + ", " + status.String(), nil
}

// get sends a GET request to the API with the key of a workspace, and returns the body of the response.
func (b *buttonTable) get(ctx context.Context, workspace, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/v1/exports/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", b.keys[workspace])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func (b *buttonTable) shownByAPI(ctx context.Context, e export.Export) (string, error) {
	body, err := b.get(ctx, e.WorkspaceID, e.ID)
	if err != nil {
		return "", err
	}
	var shown struct {
		Status string
		Error  *struct{ Code string }
	}
	err = json.Unmarshal(body, &shown)
	if shown.Error != nil {
		shown.Status += " " + shown.Error.Code
	}
	return shown.Status, err
}

// details returns the current details that the Temporal UI shows. It asks again if nobody answers the query: on a
// busy machine, the server saw no poll of the only worker on a task queue for a minute.
func (b *buttonTable) details(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for {
		value, err := b.options.Client.QueryWorkflow(ctx, export.WorkflowID(id), "", "__temporal_workflow_metadata")
		if unanswered(err) && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err != nil {
			return "", err
		}
		var metadata sdkpb.WorkflowMetadata
		err = value.Get(&metadata)
		return metadata.GetCurrentDetails(), err
	}
}

// unanswered reports whether a query failed because no worker took it in time.
func unanswered(err error) bool {
	var noPoller *serviceerror.FailedPrecondition
	var late *serviceerror.DeadlineExceeded
	return errors.As(err, &noPoller) || errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded)
}

// restart deletes a workflow that has lost its first task, and waits until the reconciler has started it
// again and the export is READY.
func (b *buttonTable) restart(id string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if err := deleteWorkflow(ctx, b.options.Client, id); err != nil {
		b.Error(err)
	}
	if err := b.until(ctx, id, "READY, Running"); err != nil {
		b.Error(err)
	}
}

// wantExports checks that the table has this number of exports, so that no button has created another one.
func (b *buttonTable) wantExports(want int) {
	b.Helper()
	var got int
	if err := b.db.Get(&got, `SELECT count(*) FROM memexport.exports`); err != nil || got != want {
		b.Errorf("there are %d exports, want %d: %v", got, want, err)
	}
}

// wantSameFiles checks that every READY export of the workspace has the same file, with all memories.
func (b *buttonTable) wantSameFiles() {
	b.Helper()
	var ready []struct {
		ID       string
		Memories int    `db:"memory_count"`
		SHA256   string `db:"sha256"`
	}
	if err := b.db.Select(&ready, `SELECT id, memory_count, sha256 FROM memexport.exports WHERE status = 'READY'`); err != nil || len(ready) == 0 {
		b.Fatalf("%d exports are READY: %v", len(ready), err)
	}
	for _, e := range ready {
		file, err := b.get(b.Context(), workspaceID, e.ID+"/download")
		if sum := fmt.Sprintf("%x", sha256.Sum256(file)); err != nil || e.Memories != memoriesOfTheTable || sum != e.SHA256 || sum != ready[0].SHA256 {
			b.Errorf("the file of %s has %d memories and the SHA-256 %s, want %d and %s: %v", e.ID, e.Memories, sum, memoriesOfTheTable, ready[0].SHA256, err)
		}
	}
}

// wantAllGone moves all times into the past and checks that every export is purged and every object is
// deleted, whatever has happened to the workflow.
func (b *buttonTable) wantAllGone() {
	b.Helper()
	b.exec(`UPDATE memexport.exports SET expires_at = expires_at - interval '80 hours', updated_at = updated_at - interval '80 hours'`)
	await.True(b, patience, "all exports are purged", func() bool {
		b.exec(`UPDATE memexport.exports SET updated_at = now() - interval '80 hours' WHERE updated_at > now() - interval '1 hour' AND purged_at IS NULL`)
		var left int
		return b.db.Get(&left, `SELECT count(*) FROM memexport.exports WHERE purged_at IS NULL`) == nil && left == 0
	})
	objects, err := filepath.Glob(filepath.Join(b.dir, "exports", "*", "*"))
	if err != nil || len(objects) > 0 {
		b.Errorf("there are still objects: %v %v", objects, err)
	}
}
