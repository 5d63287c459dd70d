package workflows_test

import (
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/telemetry"
	"memexport/workflows"
)

func TestTheCodeReplaysEveryRecordedHistoryWhileTracesAreOn(t *testing.T) {
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(trace.NewTracerProvider())
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	tracing, err := telemetry.TemporalTracing()
	if err != nil {
		t.Fatal(err)
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: []interceptor.WorkerInterceptor{tracing}})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflowWithOptions(workflows.Export, workflow.RegisterOptions{Name: "Export"})
	for name, path := range files(t) {
		t.Run(name, func(t *testing.T) {
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(silent, path); err != nil {
				t.Error(err)
			}
		})
	}
}
