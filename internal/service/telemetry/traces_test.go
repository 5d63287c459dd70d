package telemetry_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"memexport/internal/service/telemetry"
)

// grpcReceiver is a collector that keeps the names of the spans that it receives by OTLP over gRPC.
type grpcReceiver struct {
	collector.UnimplementedTraceServiceServer
	names chan string
}

func (r *grpcReceiver) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, resource := range in.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.names <- span.Name
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestStopSendsTheLastSpansOverGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, receiver := grpc.NewServer(), &grpcReceiver{names: make(chan string, 10)}
	collector.RegisterTraceServiceServer(server, receiver)
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(server.Stop)

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	started, err := telemetry.Start(t.Context(), telemetry.Options{Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "the last span")
	span.End()
	if err := started.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-receiver.names:
		if name != "the last span" {
			t.Errorf("the collector received the span %q", name)
		}
	case <-time.After(10 * time.Second):
		t.Error("the collector received no span")
	}
}

func TestWrongVariablesAreNamed(t *testing.T) {
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "jaeger", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(name, value)
			_, err := telemetry.Start(t.Context(), telemetry.Options{Name: "test", Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), value) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
