package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// startTraces sets the global tracer provider to one that sends spans to the collector that the OTEL_
// variables name. Without such variables it does nothing.
func (t *Telemetry) startTraces(ctx context.Context, res *resource.Resource) error {
	// Baggage is not propagated: a caller could put anything into it, and it would reach Temporal's history.
	otel.SetTextMapPropagator(propagation.TraceContext{})
	wanted, err := tracesWanted()
	if err != nil || !wanted {
		return err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return fmt.Errorf("start the traces: %w: correct or unset the OTEL_EXPORTER_OTLP_ variables", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(scrubber{exporter}), trace.WithResource(res))
	otel.SetTracerProvider(provider)
	t.stops = append(t.stops, provider.Shutdown)
	t.tracing = true
	return nil
}

// tracesWanted reports whether the environment asks for traces.
func tracesWanted() (bool, error) {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: set it to otlp or none", exporter)
	}
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("the protocol %q in OTEL_EXPORTER_OTLP_PROTOCOL is unknown: set it to http/protobuf or grpc", protocol)
	}
}
