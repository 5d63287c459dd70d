package workflows_test

import (
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

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
	for name, path := range files(t) {
		t.Run(name, func(t *testing.T) {
			replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: []interceptor.WorkerInterceptor{tracing}})
			if err == nil {
				err = replayOn(replayer, workflows.Export, read(t, path))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
