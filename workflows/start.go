package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/singleflight"

	"memexport/internal/service/export"
)

// Starter starts and cancels the workflows of exports. It is safe for concurrent use.
type Starter struct {
	client    client.Client
	namespace string
	taskQueue string

	registering singleflight.Group           // lets concurrent callers share one request to the server
	known       atomic.Pointer[registration] // whether the namespace has the search attributes; nil if unknown
	recheck     time.Duration                // how long it is believed that the namespace lacks them
	docs        string                       // where the pages of docs/ are; may be empty
}

type registration struct {
	registered bool
	at         time.Time // when the server said it
}

// defaultRecheck is the default of Starter.recheck. A check costs two requests, and one export waits for them.
const defaultRecheck = 5 * time.Minute

// NewStarter returns a Starter. The client may be a lazy client whose server is down.
func NewStarter(c client.Client, namespace, taskQueue string) *Starter {
	return &Starter{client: c, namespace: namespace, taskQueue: taskQueue, recheck: defaultRecheck}
}

// LinkDocs makes what the Temporal UI shows about exports link to the pages of docs/ at this address.
func (s *Starter) LinkDocs(url string) { s.docs = strings.TrimRight(url, "/") }

// Start starts the workflow of an export. If the workflow was started before, Start does nothing and
// returns nil, even if the workflow has ended since.
func (s *Starter) Start(ctx context.Context, e export.Export) error {
	var attributes, none temporal.SearchAttributes
	if s.attributesRegistered(ctx) {
		attributes = temporal.NewSearchAttributes(
			AttributeStatus.ValueSet(string(export.Processing)), // not PENDING: the workflow would have to change that at once, and each change is billed
			AttributeWorkspace.ValueSet(e.WorkspaceID),
			AttributeFormat.ValueSet(e.Format),
		)
	}
	err := s.start(ctx, e, attributes)
	var refused *serviceerror.InvalidArgument
	if attributes.Size() > 0 && errors.As(err, &refused) { // the attributes were removed from the namespace, or this server does not know them yet
		err = s.start(ctx, e, none)
	}
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("start the workflow of export %s: %w", e.ID, err)
	}
	return nil
}

func (s *Starter) start(ctx context.Context, e export.Export, attributes temporal.SearchAttributes) error {
	options := client.StartWorkflowOptions{
		ID:                                       export.WorkflowID(e.ID),
		TaskQueue:                                s.taskQueue,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            fmt.Sprintf("%s export for workspace %s", e.Format, e.WorkspaceID),
		StaticDetails:                            describe(e, s.docs),
		Memo:                                     map[string]any{"format": e.Format, "workspace": e.WorkspaceID},
		TypedSearchAttributes:                    attributes,
		Priority:                                 temporal.Priority{FairnessKey: e.WorkspaceID},
		EnableEagerStart:                         true, // this saves a round trip if the API and the worker run in one process
	}
	input := ExportInput{ExportID: e.ID, WorkspaceID: e.WorkspaceID, SearchAttributes: attributes.Size() > 0, Docs: s.docs}
	_, err := s.client.ExecuteWorkflow(e.InTrace(ctx), options, Export, input)
	return err
}

// Cancel asks the workflow of an export to stop and clean up. It returns nil if the workflow has ended
// or was never started.
func (s *Starter) Cancel(ctx context.Context, exportID string) error {
	err := s.client.CancelWorkflow(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if err != nil && !errors.As(err, &notFound) {
		return fmt.Errorf("cancel the workflow of export %s: %w", exportID, err)
	}
	return nil
}

// describe returns what the Temporal UI shows about an export even if no worker runs. It names the filters
// without their values, because the values may be personal data.
func describe(e export.Export, docs string) string {
	content := "All memories of the workspace."
	if used := e.Filter.Names(); len(used) > 0 {
		content = "Filtered by " + strings.Join(used, ", ") + "."
	}
	return fmt.Sprintf("%s\n\n- format: %s\n- workspace: %s\n- created: %s\n- what each button does: %s\n",
		content, e.Format, e.WorkspaceID, e.CreatedAt.UTC().Format(time.RFC3339), page(docs, "docs/temporal-ui.md"))
}

// page names a page of docs/ in Markdown, as a link if it is known where the pages are.
func page(docs, path string) string {
	if docs == "" {
		return path
	}
	return fmt.Sprintf("[%s](%s)", path, docs+strings.TrimPrefix(path, "docs"))
}

// Running reports whether a workflow with this status may still start activities. A workflow that was continued as new
// goes on in its next run.
func Running(status enumspb.WorkflowExecutionStatus) bool {
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:
		return true
	}
	return false
}

// attributesRegistered reports whether the namespace has the search attributes. The first call tries to
// register them. If the namespace lacks them, a call tries again once recheck has passed, so that somebody can add
// them while this process runs. If the server does not answer or ctx ends first, attributesRegistered returns
// false, and the next call tries again.
func (s *Starter) attributesRegistered(ctx context.Context) bool {
	if known := s.known.Load(); known != nil && (known.registered || time.Since(known.at) < s.recheck) {
		return known.registered
	}
	// Several callers wait for this answer, so it must not fail only because the context of the first
	// caller ends.
	shared := context.WithoutCancel(ctx)
	answer := s.registering.DoChan("", func() (any, error) {
		err := RegisterSearchAttributes(shared, s.client, s.namespace)
		var missing *MissingAttributesError
		if err == nil || errors.As(err, &missing) {
			s.known.Store(&registration{registered: err == nil, at: time.Now()})
		}
		return nil, err
	})
	select {
	case result := <-answer:
		return result.Err == nil
	case <-ctx.Done():
		return false
	}
}
