package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/semconv/v1.40.0/httpconv"
	"go.opentelemetry.io/otel/trace"
)

// The request's metric and span follow the conventions of OpenTelemetry. Package otelhttp is not used: it
// sees the request before http.ServeMux has set the route.
var (
	// requestBuckets are in seconds. The longest are for downloads and for requests that wait.
	requestBuckets     = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	requestDuration, _ = httpconv.NewServerRequestDuration(otel.Meter("memexport"), // it fails only if the name of the metric is invalid
		metric.WithExplicitBucketBoundaries(requestBuckets...))
	tracer = otel.Tracer("memexport")
)

// startSpan starts the span of a request. If the request has a valid header traceparent, the span continues
// the trace of the caller. Probes have no span.
func startSpan(r *http.Request) (*http.Request, trace.Span) {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return r, trace.SpanFromContext(r.Context())
	}
	ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := tracer.Start(ctx, knownMethod(r), trace.WithSpanKind(trace.SpanKindServer))
	return r.WithContext(ctx), span
}

// traceParent returns the trace of a request in the form of the header traceparent, or "" without a trace.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// endRequest ends the span of a request that has been answered, and records its duration.
func endRequest(r *http.Request, span trace.Span, info *requestInfo, status int, duration time.Duration) {
	if status == 0 { // the connection broke before the answer
		status = statusClientClosed
	}
	_, route, _ := strings.Cut(r.Pattern, " ") // a pattern is a method and a path
	if route == "" {
		route = "unmatched"
	}
	method := knownMethod(r)
	attributes := []attribute.KeyValue{semconv.HTTPRoute(route), semconv.HTTPResponseStatusCode(status)}
	requestDuration.Record(r.Context(), duration.Seconds(), httpconv.RequestMethodAttr(method), "http", attributes...)
	if !span.IsRecording() {
		return
	}
	span.SetName(method + " " + route)
	span.SetAttributes(append(attributes, semconv.HTTPRequestMethodKey.String(method))...)
	if info.workspaceID != "" {
		span.SetAttributes(attribute.String("memexport.workspace_id", info.workspaceID))
	}
	if info.exportID != "" {
		span.SetAttributes(attribute.String("memexport.export_id", info.exportID))
	}
	if status >= 500 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// knownMethod returns the method of a request, or _OTHER if the method is not a standard one: a client can
// send any word.
func knownMethod(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "_OTHER"
}
