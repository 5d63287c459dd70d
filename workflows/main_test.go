package workflows_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdk "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"memexport/internal/service/export"
	"memexport/internal/workshop/temporaltest"
	"memexport/workflows"
)

// patience limits every wait for something that takes milliseconds on an idle machine.
const patience = 30 * time.Second

// temporal is the dev server of this test process, and a client of it.
var temporal struct {
	address string
	client  client.Client
}

func TestMain(m *testing.M) {
	// Turn off the sticky cache, for two reasons. Every workflow task then replays the whole history,
	// which reveals code that is not deterministic. And the recorded histories then contain no sticky
	// queues, whose names contain the machine's name.
	worker.SetStickyWorkflowCacheSize(0)
	temporaltest.Main(m, func(address string) (err error) {
		temporal.address = address
		temporal.client, err = client.Dial(client.Options{HostPort: address, Identity: "memexport", Logger: silent})
		return err
	})
}

var silent = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// live is one export on the real server. Its activities are stubs.
type live struct {
	*testing.T
	*stub
	queue string
	id    string // the id of the workflow

	attributes bool // whether the input says that the namespace has the search attributes
}

func newLive(t *testing.T, s *stub) *live {
	return &live{T: t, stub: s, queue: t.Name(), id: t.Name()}
}

// start starts the workflow Export. No worker runs the workflow until work is called.
func (l *live) start() {
	l.Helper()
	input := workflows.ExportInput{ExportID: exportID, WorkspaceID: workspaceID, SearchAttributes: l.attributes}
	options := client.StartWorkflowOptions{ID: l.id, TaskQueue: l.queue}
	if l.attributes { // as Starter does
		options.TypedSearchAttributes = sdk.NewSearchAttributes(workflows.AttributeStatus.ValueSet(string(export.Processing)))
	}
	_, err := temporal.client.ExecuteWorkflow(l.Context(), options, workflows.Export, input)
	if err != nil {
		l.Fatal(err)
	}
}

// work runs a worker until the test ends.
func (l *live) work() {
	l.Helper()
	w := worker.New(temporal.client, l.queue, worker.Options{
		MaxHeartbeatThrottleInterval: 50 * time.Millisecond,
		WorkerStopTimeout:            time.Second,
	})
	w.RegisterWorkflow(workflows.Export)
	w.RegisterActivity(l.stub)
	if err := w.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(w.Stop)
}

func (l *live) cancel() {
	l.Helper()
	if err := temporal.client.CancelWorkflow(l.Context(), l.id, ""); err != nil {
		l.Fatal(err)
	}
}

// result waits until the workflow has ended and returns its error.
func (l *live) result() error {
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	return temporal.client.GetWorkflow(ctx, l.id, "").Get(ctx, nil)
}

func (l *live) history() *historypb.History {
	l.Helper()
	events := temporal.client.GetWorkflowHistory(l.Context(), l.id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	history := &historypb.History{}
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			l.Fatal(err)
		}
		history.Events = append(history.Events, event)
	}
	return history
}
