package telemetry

import (
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestSpansOfTheBucketHaveNoTextOfAnError(t *testing.T) {
	sent := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(scrubber{sent}))
	const secret = "https://account.example/c?sig=secret"
	for _, scope := range []string{blobScope, "memexport"} {
		_, span := provider.Tracer(scope).Start(t.Context(), scope)
		span.SetAttributes(attribute.String("gocdk_method", "Upload"), attribute.String("gocdk_error", secret))
		span.SetStatus(codes.Error, secret)
		span.RecordError(errors.New(secret))
		span.End()
	}
	spans := sent.GetSpans()
	for _, s := range spans {
		text := s.Status.Description
		for _, a := range s.Attributes {
			text += a.Value.AsString()
		}
		for _, e := range s.Events {
			for _, a := range e.Attributes {
				text += a.Value.AsString()
			}
		}
		if s.Status.Code != codes.Error || !strings.Contains(text, "Upload") || strings.Contains(text, "secret") != (s.Name == "memexport") {
			t.Errorf("the span of %s has the status %v and the texts %q", s.Name, s.Status.Code, text)
		}
	}
	if len(spans) != 2 {
		t.Errorf("%d spans were sent", len(spans))
	}
}
