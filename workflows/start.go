package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/export"
)

// The search attributes that an operator filters by. They hold ids and closed sets only: they are
// stored in clear text even where payloads are encrypted.
var (
	AttributeStatus    = temporal.NewSearchAttributeKeyKeyword("ExportStatus")
	AttributeWorkspace = temporal.NewSearchAttributeKeyKeyword("ExportWorkspace")
	AttributeFormat    = temporal.NewSearchAttributeKeyKeyword("ExportFormat")
	AttributeMemories  = temporal.NewSearchAttributeKeyInt64("ExportMemories")
	AttributeExpiresAt = temporal.NewSearchAttributeKeyTime("ExportExpiresAt")
)

// SearchAttributes are the search attributes by name, with their types.
var SearchAttributes = map[string]enumspb.IndexedValueType{
	AttributeStatus.GetName():    AttributeStatus.GetValueType(),
	AttributeWorkspace.GetName(): AttributeWorkspace.GetValueType(),
	AttributeFormat.GetName():    AttributeFormat.GetValueType(),
	AttributeMemories.GetName():  AttributeMemories.GetValueType(),
	AttributeExpiresAt.GetName(): AttributeExpiresAt.GetValueType(),
}

// Starter starts and cancels the workflows of exports. It is safe for concurrent use.
type Starter struct {
	client    client.Client
	namespace string
	taskQueue string

	turn       chan struct{} // holds one; who takes it may use registered
	registered *bool         // whether the namespace has the search attributes; nil: not known yet
}

// NewStarter returns a Starter; the client may be lazy and its server down.
func NewStarter(c client.Client, namespace, taskQueue string) *Starter {
	s := &Starter{client: c, namespace: namespace, taskQueue: taskQueue, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// Start starts the export's workflow. It is idempotent: if that has been started before, even if it
// has ended since, Start returns nil.
func (s *Starter) Start(ctx context.Context, e export.Export) error {
	attributes := s.attributesRegistered(ctx)
	err := s.start(ctx, e, attributes)
	var refused *serviceerror.InvalidArgument
	if attributes && errors.As(err, &refused) { // they have been removed, or not every server knows them yet
		err = s.start(ctx, e, false)
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

func (s *Starter) start(ctx context.Context, e export.Export, attributes bool) error {
	options := client.StartWorkflowOptions{
		ID:                                       export.WorkflowID(e.ID),
		TaskQueue:                                s.taskQueue,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            fmt.Sprintf("%s export for workspace %s", e.Format, e.WorkspaceID),
		StaticDetails:                            details(e),
		Priority:                                 temporal.Priority{FairnessKey: e.WorkspaceID},
		EnableEagerStart:                         true, // where API and worker share a process, as in dev
	}
	if attributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributeStatus.ValueSet(string(e.Status)),
			AttributeWorkspace.ValueSet(e.WorkspaceID),
			AttributeFormat.ValueSet(e.Format),
		)
	}
	input := ExportInput{ExportID: e.ID, WorkspaceID: e.WorkspaceID, SearchAttributes: attributes}
	_, err := s.client.ExecuteWorkflow(ctx, options, Export, input)
	return err
}

// Cancel asks the export's workflow to stop and clean up. A workflow that has ended, or was never
// started, is no error.
func (s *Starter) Cancel(ctx context.Context, exportID string) error {
	err := s.client.CancelWorkflow(ctx, export.WorkflowID(exportID), "")
	var notFound *serviceerror.NotFound
	if err != nil && !errors.As(err, &notFound) {
		return fmt.Errorf("cancel the workflow of export %s: %w", exportID, err)
	}
	return nil
}

// details names the filters, not their values: those may be personal data.
func details(e export.Export) string {
	used := e.Filter.Names()
	if len(used) == 0 {
		return "All memories of the workspace."
	}
	return "Filtered by " + strings.Join(used, ", ") + "."
}

// attributesRegistered makes sure, once, that the namespace has the search attributes. Where that
// is not allowed (Temporal Cloud) and nobody has made them, exports run without.
func (s *Starter) attributesRegistered(ctx context.Context) bool {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done(): // a server that hangs must not make callers queue up
		return false
	}
	if s.registered == nil {
		ok, err := RegisterSearchAttributes(ctx, s.client, s.namespace)
		if err != nil {
			return false // the server is down, most likely: ask again next time
		}
		s.registered = &ok
	}
	return *s.registered
}

// RegisterSearchAttributes adds the search attributes that the namespace lacks and reports whether
// it has all of them now. An error says that this could not be found out.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list := func() (bool, error) {
		response, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if err != nil {
			return false, err
		}
		for name, kind := range SearchAttributes {
			if response.CustomAttributes[name] != kind {
				return false, nil
			}
		}
		return true, nil
	}
	if ok, err := list(); ok {
		return true, err
	}
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: SearchAttributes,
	})
	var unavailable *serviceerror.Unavailable
	if errors.As(err, &unavailable) || ctx.Err() != nil {
		return false, err
	}
	ok, err := list()
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &denied) {
		return false, nil
	}
	return ok, err
}
