package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"go.opentelemetry.io/otel/trace"
	temporallog "go.temporal.io/sdk/log"

	"memexport/internal/service/export"
	"memexport/internal/service/telemetry"
)

// logged returns the attributes of the line that the function do logs.
func logged(t *testing.T, do func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	do(telemetry.NewLogger(&out, slog.LevelInfo, "json"))
	line := map[string]any{}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	return line
}

func inTrace() (context.Context, trace.SpanContext) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}})
	return trace.ContextWithSpanContext(context.Background(), span), span
}

func TestALineOfATraceHasItsID(t *testing.T) {
	ctx, span := inTrace()
	for name, do := range map[string]func(*slog.Logger){
		"a line":             func(l *slog.Logger) { l.InfoContext(ctx, "x") },
		"a line with others": func(l *slog.Logger) { l.With("a", 1).InfoContext(ctx, "x") },
		"a line of the SDK": func(l *slog.Logger) {
			temporallog.With(temporallog.NewStructuredLogger(l), "TraceID", span.TraceID(), "SpanID", span.SpanID()).Info("x")
		},
	} {
		line := logged(t, do)
		if line["trace_id"] != "01020000000000000000000000000000" || line["TraceID"] != nil || line["SpanID"] != nil {
			t.Errorf("%s is %v", name, line)
		}
	}
	if line := logged(t, func(l *slog.Logger) { l.Info("x") }); line["trace_id"] != nil {
		t.Errorf("a line without a trace is %v", line)
	}
}

func TestALineOfAWorkflowHasTheExport(t *testing.T) {
	line := func(workflow string) map[string]any {
		return logged(t, func(l *slog.Logger) {
			temporallog.With(temporallog.NewStructuredLogger(l), "WorkflowID", workflow).Info("x")
		})
	}
	if got := line("export-7"); got["export_id"] != "7" || got["WorkflowID"] != "export-7" {
		t.Errorf("the line is %v", got)
	}
	if got := line("memexport-reconcile"); got["export_id"] != nil {
		t.Errorf("the line of another workflow is %v", got)
	}
}

func TestALineOfAnExportsLifeIsInTheTraceOfTheExport(t *testing.T) {
	ctx, _ := inTrace() // such as the trace of a run of the reconciler
	line := logged(t, func(l *slog.Logger) {
		telemetry.ObserveLife(l)(ctx, export.StepExpired, export.Export{ID: "7", TraceParent: "00-2cf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	})
	if line["trace_id"] != "2cf7651916cd43dd8448eb211c80319c" {
		t.Errorf("the line is %v", line)
	}
}
