package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/workflows"
)

// The methods of the Temporal server that Starter.Start calls.
const (
	list  = "ListSearchAttributes"
	add   = "AddSearchAttributes"
	start = "StartWorkflowExecution"
)

// faults makes these methods of the Temporal server fail, and notes which of them were called.
type faults struct {
	mu    sync.Mutex
	codes map[string]codes.Code
	calls []string
}

func (f *faults) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	name := path.Base(method)
	f.mu.Lock()
	if slices.Contains([]string{list, add, start}, name) {
		f.calls = append(f.calls, name)
	}
	code := f.codes[name]
	f.mu.Unlock()
	if code != codes.OK {
		return status.Error(code, "a fault of the test")
	}
	return invoke(ctx, method, request, reply, conn, o...)
}

// end ends the faults, and returns the methods that were called since the last call of end.
func (f *faults) end() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.codes, f.calls = nil, nil
	return calls
}

// client returns a client whose calls have the faults.
func (f *faults) client(t *testing.T, namespace string) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: temporal.address, Namespace: namespace, Logger: silent,
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(f.intercept)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hasAttributes starts an export and reports whether its workflow has the search attributes.
func hasAttributes(t *testing.T, c client.Client, starter *workflows.Starter) bool {
	t.Helper()
	e := newExport()
	if err := starter.Start(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	first, err := c.GetWorkflowHistory(t.Context(), export.WorkflowID(e.ID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
	if err != nil {
		t.Fatal(err)
	}
	started := first.GetWorkflowExecutionStartedEventAttributes()
	var input workflows.ExportInput
	if err := converter.GetDefaultDataConverter().FromPayloads(started.GetInput(), &input); err != nil {
		t.Fatal(err)
	}
	has := len(started.GetSearchAttributes().GetIndexedFields()) > 0
	if has != input.SearchAttributes {
		t.Errorf("the workflow has the attributes %v, but its input says %v", started.GetSearchAttributes(), input.SearchAttributes)
	}
	return has
}

// Each row starts an export while calls fail, and another one after that.
func TestAnExportHasTheAttributesIfItsNamespaceIsKnownToHaveThem(t *testing.T) {
	c := newNamespace(t)
	namespace := namespaceOf(t)
	for _, row := range []struct {
		name          string
		codes         map[string]codes.Code
		first, second []string // the calls
		attributes    [2]bool  // whether each export has the attributes
		register      bool     // whether somebody registers the attributes after the first export
	}{
		{name: "nobody may add them", codes: map[string]codes.Code{add: codes.PermissionDenied},
			first: []string{list, add, list, start}, second: []string{start}},
		{name: "nobody may list them", codes: map[string]codes.Code{list: codes.PermissionDenied, add: codes.PermissionDenied},
			first: []string{list, add, list, start}, second: []string{start}},
		{name: "the server is away when they are added", codes: map[string]codes.Code{add: codes.Unavailable}, register: true,
			first: []string{list, add, start}, second: []string{list, start}, attributes: [2]bool{false, true}},
		{name: "the server is away when they are listed", codes: map[string]codes.Code{list: codes.Unavailable, add: codes.Unavailable},
			first: []string{list, add, start}, second: []string{list, start}, attributes: [2]bool{false, true}},
		{name: "they are registered",
			first: []string{list, start}, second: []string{start}, attributes: [2]bool{true, true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := faults{codes: row.codes}
			starter := workflows.NewStarter(f.client(t, namespace), namespace, "queue")
			first := hasAttributes(t, c, starter)
			if calls := f.end(); !slices.Equal(calls, row.first) {
				t.Errorf("the first export made the calls %q, want %q", calls, row.first)
			}
			if row.register {
				register(t, c, namespace)
			}
			second := hasAttributes(t, c, starter)
			if calls := f.end(); !slices.Equal(calls, row.second) {
				t.Errorf("the second export made the calls %q, want %q", calls, row.second)
			}
			if got := [2]bool{first, second}; got != row.attributes {
				t.Errorf("the exports have the attributes: %v, want %v", got, row.attributes)
			}
		})
	}
}

func TestAStartThatIsRefusedWithoutAttributesFails(t *testing.T) {
	f := faults{codes: map[string]codes.Code{list: codes.PermissionDenied, add: codes.PermissionDenied, start: codes.InvalidArgument}}
	starter := workflows.NewStarter(f.client(t, "default"), "default", t.Name())
	if err := starter.Start(t.Context(), newExport()); err == nil {
		t.Error("the start succeeded")
	}
	if calls, want := f.end(), []string{list, add, list, start}; !slices.Equal(calls, want) {
		t.Errorf("the calls were %q, want %q", calls, want)
	}
}

// register registers the search attributes in a namespace, and waits until the server knows them.
func register(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	if err := workflows.RegisterSearchAttributes(t.Context(), c, namespace); err != nil {
		t.Fatal(err)
	}
	await.True(t, patience, "the server knows the attributes", func() bool {
		for name := range workflows.SearchAttributes {
			_, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: name + " IS NULL"})
			if err != nil {
				return false
			}
		}
		return true
	})
}

func TestAStarterNoticesAttributesThatAreAddedWhileItRuns(t *testing.T) {
	c := newNamespace(t)
	namespace := namespaceOf(t)
	f := faults{codes: map[string]codes.Code{add: codes.PermissionDenied}}
	starter := workflows.NewStarter(f.client(t, namespace), namespace, "queue")
	if hasAttributes(t, c, starter) {
		t.Fatal("an export has attributes that nobody has registered")
	}
	register(t, c, namespace)
	if hasAttributes(t, c, starter) {
		t.Error("the starter asked again at once")
	}
	starter.SetRecheck(0)
	if !hasAttributes(t, c, starter) {
		t.Error("the starter did not notice the attributes")
	}
}

func TestAttributesThatCannotBeAddedAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		taken  map[string]enumspb.IndexedValueType
		want   []string
		reason string
	}{
		"no room": {taken: keywords(10),
			want:   []string{"ExportExpiresAt (Datetime)", "ExportFormat (Keyword)", "ExportMemories (Int)", "ExportStatus (Keyword)", "ExportWorkspace (Keyword)"},
			reason: "cannot have more than 10 search attribute of type Keyword"},
		"another type": {taken: map[string]enumspb.IndexedValueType{"ExportStatus": enumspb.INDEXED_VALUE_TYPE_BOOL},
			want: []string{"ExportStatus (Keyword)"}},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := newNamespace(t)
			namespace := namespaceOf(t)
			_, err := temporal.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
				Namespace: namespace, SearchAttributes: c.taken})
			if err != nil {
				t.Fatal(err)
			}
			err = workflows.RegisterSearchAttributes(t.Context(), temporal, namespace)
			var missing *workflows.MissingAttributesError
			if !errors.As(err, &missing) {
				t.Fatal("the error is", err)
			}
			if !slices.Equal(missing.Missing, c.want) {
				t.Errorf("these are missing: %q, want %q", missing.Missing, c.want)
			}
			if !strings.Contains(err.Error(), c.reason) {
				t.Errorf("the error is %q, want %q in it", err, c.reason)
			}
		})
	}
}

// keywords returns n attributes of the type Keyword.
func keywords(n int) map[string]enumspb.IndexedValueType {
	attributes := map[string]enumspb.IndexedValueType{}
	for i := range n {
		attributes[fmt.Sprintf("Taken%d", i)] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return attributes
}
