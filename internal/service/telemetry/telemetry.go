package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	temporaltelemetry "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"memexport/internal/service/metrics"
)

// Options configures Start.
type Options struct {
	Name      string            // the default of OTEL_SERVICE_NAME, such as memexport-worker
	Version   string            // of the program
	Processes []metrics.Process // the commands that this process runs
	Metrics   bool              // whether to collect metrics
	Log       *slog.Logger      // receives errors of OpenTelemetry
}

// Telemetry is the running telemetry of a process.
type Telemetry struct {
	// Handler answers with the metrics in the text format of Prometheus. It is nil if no metrics are
	// collected.
	Handler http.Handler

	log     *slog.Logger
	tracing bool
	stops   []func(context.Context) error
}

// Off returns the telemetry of a process that reports nothing.
func Off() *Telemetry { return &Telemetry{log: slog.New(slog.DiscardHandler)} }

// Start sets up OpenTelemetry for this process: metrics if o.Metrics is set, and traces if the OTEL_
// variables name a collector. Every package uses them through the global providers of OpenTelemetry. Call
// Start once, before connections are opened.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{log: o.Log}
	otel.SetLogger(logr.FromSlogHandler(o.Log.Handler()))
	otel.SetErrorHandler(newErrorHandler(o.Log))
	res, err := describe(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Metrics {
		if err := t.startMetrics(ctx, res, o.Processes); err != nil {
			return nil, err
		}
	}
	if err := t.startTraces(ctx, res); err != nil {
		return nil, errors.Join(err, t.Stop(ctx))
	}
	return t, nil
}

// Stop sends the spans that have not been sent yet, and stops the telemetry. ctx limits the time for both.
func (t *Telemetry) Stop(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stops {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// describe returns the resource: what traces and the metric target_info say about this process.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	attributes := []attribute.KeyValue{semconv.ServiceName(o.Name), semconv.ServiceVersion(o.Version)}
	if host, err := os.Hostname(); err == nil { // in Kubernetes, this is the name of the pod
		attributes = append(attributes, semconv.ServiceInstanceID(fmt.Sprintf("%s-%d", host, os.Getpid())))
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attributes...), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w: write name=value pairs with commas between them", err)
	}
	return res, nil
}

// Observe makes a client of Temporal report metrics, and traces if they are on.
func (t *Telemetry) Observe(options *client.Options) error {
	if t.Handler != nil {
		options.MetricsHandler = temporaltelemetry.NewMetricsHandler(temporaltelemetry.MetricsHandlerOptions{
			Meter:                otel.Meter("temporal-sdk-go"),
			UseMonotonicCounters: true, // otherwise Prometheus would see the SDK's counters as gauges
			OnError:              func(err error) { t.log.Warn("a metric of the Temporal SDK is missing", "error", err) },
		})
	}
	if !t.tracing {
		return nil
	}
	tracing, err := TemporalTracing()
	if err != nil {
		return fmt.Errorf("start the traces of Temporal: %w", err)
	}
	options.Interceptors = append(options.Interceptors, tracing)
	return nil
}

// TemporalTracing returns an interceptor for clients and workers of Temporal that passes traces on in headers.
// It does not change what a workflow does.
func TemporalTracing() (interceptor.Interceptor, error) {
	return temporaltelemetry.NewTracingInterceptor(temporaltelemetry.TracerOptions{
		TextMapPropagator:       propagation.TraceContext{},
		DisableBaggage:          true,
		SpanStarter:             startTemporalSpan,
		AllowInvalidParentSpans: true, // a header that cannot be read must not fail a workflow
	})
}

// startTemporalSpan starts a span of the Temporal SDK, with two exceptions. A span of the workflow Export
// would last as long as the export is kept, and would be lost when a worker stops. Without that span,
// activities become children of the span that started the workflow. The creation of a schedule has no span
// either: otherwise all runs of the schedule would belong to that one trace.
func startTemporalSpan(ctx context.Context, tracer trace.Tracer, name string, options ...trace.SpanStartOption) trace.Span {
	switch {
	case name == "RunWorkflow:Export":
		return trace.SpanFromContext(ctx)
	case strings.HasPrefix(name, "CreateSchedule:"):
		return trace.SpanFromContext(context.Background())
	}
	_, span := tracer.Start(ctx, name, options...)
	return span
}
