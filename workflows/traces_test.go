package workflows_test

import (
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"

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
			if err := replay(workflows.Export, read(t, path), tracing); err != nil {
				t.Error(err)
			}
		})
	}
}
