package workflows_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"memexport/internal/service/telemetry"
	"memexport/workflows"
)

// traced turns traces on until the test ends. It returns the interceptor that creates the spans of Temporal clients
// and workers, and the recorder that receives the spans.
func traced(t *testing.T) (interceptor.Interceptor, *tracetest.SpanRecorder) {
	t.Helper()
	before := otel.GetTracerProvider()
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	tracing, err := telemetry.TemporalTracing()
	if err != nil {
		t.Fatal(err)
	}
	return tracing, spans
}

func TestTheCodeReplaysEveryRecordedHistoryWhileTracesAreOn(t *testing.T) {
	tracing, _ := traced(t)
	for name, path := range files(t) {
		t.Run(name, func(t *testing.T) {
			if err := replay(workflows.Export, read(t, path), tracing); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheStartOfAnExportBelongsToTheTraceOfItsCreation(t *testing.T) {
	tracing, spans := traced(t)
	c, err := client.NewLazyClient(client.Options{HostPort: temporal.address, Logger: silent, Interceptors: []interceptor.ClientInterceptor{tracing}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	starter := workflows.NewStarter(c, "default", t.Name())
	created := spanContext(1, 1)
	for name, row := range map[string]struct{ present, parent trace.SpanContext }{
		"the request that creates it starts it": {spanContext(1, 2), spanContext(1, 2)},
		"another export's activity starts it":   {spanContext(2, 3), created},
		"the reconciler starts it":              {trace.SpanContext{}, created},
	} {
		spans.Reset()
		e := newExport()
		e.TraceParent = "00-" + created.TraceID().String() + "-" + created.SpanID().String() + "-01"
		if err := starter.Start(trace.ContextWithSpanContext(context.Background(), row.present), e); err != nil {
			t.Fatal(err)
		}
		ended := spans.Ended()
		if len(ended) != 1 {
			t.Fatalf("%s: there are the spans %v, want one", name, ended)
		}
		if parent := ended[0].Parent(); parent.TraceID() != row.parent.TraceID() || parent.SpanID() != row.parent.SpanID() {
			t.Errorf("%s: the parent of %s is %v, want %v", name, ended[0].Name(), parent, row.parent)
		}
	}
}

// spanContext returns the context of the span with this number, in the trace with this number.
func spanContext(traceNumber, spanNumber byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{traceNumber}, SpanID: trace.SpanID{spanNumber}, TraceFlags: trace.FlagsSampled})
}
