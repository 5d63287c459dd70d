package workflows_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/types/known/durationpb"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

func newExport() export.Export {
	user := "user-secret"
	return export.Export{ID: uuid.NewString(), WorkspaceID: workspaceID, Format: "json", Status: export.Pending,
		Filter: memory.Filter{UserID: &user}}
}

func (s *stub) workOn(t *testing.T, c client.Client, queue string) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(workflows.Export)
	w.RegisterActivity(s)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// registerAttributes registers the search attributes in the namespace default.
func registerAttributes(t *testing.T) {
	t.Helper()
	if err := workflows.RegisterSearchAttributes(t.Context(), temporal.client, "default"); err != nil {
		t.Fatal(err)
	}
}

// namespaceOf returns the name of the namespace that newNamespace creates for the test.
func namespaceOf(t *testing.T) string {
	return strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")
}

// newNamespace creates a namespace without search attributes and returns a client for it.
func newNamespace(t *testing.T) client.Client {
	t.Helper()
	name := namespaceOf(t)
	_, err := temporal.client.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewLazyClient(client.Options{HostPort: temporal.address, Namespace: name, Identity: "memexport", Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	await.True(t, patience, "the namespace exists", func() bool {
		_, err := c.WorkflowService().GetSystemInfo(t.Context(), &workflowservice.GetSystemInfoRequest{})
		if err == nil {
			_, err = c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: name})
		}
		return err == nil
	})
	return c
}

func TestStartIsIdempotentEvenAfterTheWorkflowHasEnded(t *testing.T) {
	starter := workflows.NewStarter(temporal.client, "default", t.Name())
	e := newExport()
	for range 2 {
		if err := starter.Start(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := starter.Cancel(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	newStub(1).workOn(t, temporal.client, t.Name())
	ended := temporal.client.GetWorkflow(t.Context(), export.WorkflowID(e.ID), "")
	if err := ended.Get(t.Context(), nil); err == nil {
		t.Fatal("the workflow was not cancelled")
	}
	if err := starter.Start(t.Context(), e); err != nil {
		t.Error("Start after the end of the workflow:", err)
	}
	description, err := temporal.client.DescribeWorkflowExecution(t.Context(), export.WorkflowID(e.ID), "")
	if err != nil {
		t.Fatal(err)
	}
	if status := description.GetWorkflowExecutionInfo().GetStatus(); status != enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED {
		t.Error("the workflow was started again:", status)
	}
}

func TestStartRegistersTheAttributesAndHidesTheValuesOfFilters(t *testing.T) {
	c := newNamespace(t)
	starter := workflows.NewStarter(c, namespaceOf(t), "queue")
	starter.LinkDocs("https://docs.example.com/")
	e := newExport()
	if err := starter.Start(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	registered, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespaceOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range workflows.SearchAttributes {
		if got := registered.GetCustomAttributes()[name]; got != kind {
			t.Errorf("%s is registered as %v", name, got)
		}
	}
	whole := newExport()
	whole.Filter = memory.Filter{}
	if err := starter.Start(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	const link = "(https://docs.example.com/temporal-ui.md)"
	for id, says := range map[string]string{e.ID: "Filtered by user_id.", whole.ID: "All memories of the workspace."} {
		started, err := c.GetWorkflowHistory(t.Context(), export.WorkflowID(id), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
		if err != nil {
			t.Fatal(err)
		}
		if text := started.String(); strings.Contains(text, "secret") || !strings.Contains(text, says) || !strings.Contains(text, link) {
			t.Errorf("the event that started it lacks %q or %q: %s", says, link, text)
		}
	}
}

// A namespace refuses search attributes that were removed, and new search attributes that some of its
// servers do not know yet.
func TestStartWorksWithoutRegisteredAttributes(t *testing.T) {
	c := newNamespace(t)
	starter := workflows.NewStarter(c, namespaceOf(t), "queue")
	if err := starter.Start(t.Context(), newExport()); err != nil {
		t.Fatal(err)
	}
	for name := range workflows.SearchAttributes {
		_, err := c.OperatorService().RemoveSearchAttributes(t.Context(), &operatorservice.RemoveSearchAttributesRequest{
			Namespace: namespaceOf(t), SearchAttributes: []string{name},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	e := newExport()
	e.ID = exportID // the only export that the stub knows
	if err := starter.Start(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	s := newStub(1)
	s.ready, s.grace = 0, 0
	s.workOn(t, c, "queue")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.GetWorkflow(ctx, export.WorkflowID(e.ID), "").Get(ctx, nil); err != nil {
		t.Error(err)
	}
}

func TestTheAttributesAreUpdatedOnlyIfTheInputSaysSo(t *testing.T) {
	registerAttributes(t)
	for name, want := range map[string]string{"with": `"READY" "EXPIRED"`, "lost": `"READY" "FAILED"`, "without": ""} { // it is PROCESSING from the start
		attributes := want != ""
		l := newLive(t, newStub(1))
		l.ready, l.grace, l.lost = 0, 0, name == "lost"
		l.id += "-" + name
		l.queue = l.id
		l.attributes = attributes
		l.start()
		l.work()
		if err := l.result(); err != nil {
			t.Fatal(err)
		}
		var statuses []string
		last := map[string]string{}
		for _, event := range l.history().GetEvents() {
			upsert := event.GetUpsertWorkflowSearchAttributesEventAttributes()
			for name, value := range upsert.GetSearchAttributes().GetIndexedFields() {
				if name == "TemporalChangeVersion" { // the SDK sets it for GetVersion
					continue
				}
				last[name] = string(value.GetData())
				if name == workflows.AttributeStatus.GetName() {
					statuses = append(statuses, string(value.GetData()))
				}
			}
		}
		if !attributes {
			if len(last) > 0 {
				t.Error("attributes were set:", last)
			}
			continue
		}
		if got := strings.Join(statuses, " "); got != want {
			t.Errorf("the status was %s, want %s", got, want)
		}
		if last[workflows.AttributeMemories.GetName()] != "1000" || last[workflows.AttributeExpiresAt.GetName()] == "" {
			t.Error("the attributes are", last)
		}
	}
}

func TestCancelOfAnUnknownExportSucceeds(t *testing.T) {
	if err := workflows.NewStarter(temporal.client, "default", t.Name()).Cancel(t.Context(), uuid.NewString()); err != nil {
		t.Error(err)
	}
}

// This test uses two dead servers. The silent server accepts connections and never answers. The closed
// server refuses connections.
func TestEveryCallerOfADeadServerGetsAnErrorWithinItsDeadline(t *testing.T) {
	silentServer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silentServer.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, address := range map[string]string{"silent": silentServer.Addr().String(), "closed": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			c, err := client.NewLazyClient(client.Options{HostPort: address, Logger: silent})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			starter := workflows.NewStarter(c, "default", "queue")
			const deadline = time.Second
			begin := time.Now()
			var callers sync.WaitGroup
			for range 20 { // if the callers waited one after the other, this would take 20 s
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					if err := starter.Start(ctx, newExport()); err == nil {
						t.Error("the start succeeded")
					}
					if took := time.Since(begin); took > 10*deadline {
						t.Errorf("the start took %v", took)
					}
				})
			}
			callers.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			if err := starter.Cancel(ctx, uuid.NewString()); err == nil {
				t.Error("the cancel succeeded")
			}
		})
	}
}

func TestTheWorkflowIDNamesTheExport(t *testing.T) {
	if id := export.WorkflowID(exportID); id != "export-"+exportID {
		t.Error(id)
	}
}
