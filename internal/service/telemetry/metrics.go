package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/prometheus/otlptranslator"

	"memexport/internal/service/metrics"
)

// startMetrics sets the global meter provider to one that Prometheus can scrape.
func (t *Telemetry) startMetrics(ctx context.Context, res *resource.Resource, processes []metrics.Process) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry),
		prometheusexporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		prometheusexporter.WithoutScopeInfo()) // the names alone say which library a metric comes from
	if err != nil {
		return fmt.Errorf("start the metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithResource(res), metric.WithView(views()...),
		metric.WithExemplarFilter(exemplar.AlwaysOffFilter)) // exemplars would take memory for every bucket of every histogram
	otel.SetMeterProvider(provider)
	t.stops = append(t.stops, provider.Shutdown)
	t.Handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(t.log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError, // the answer still contains the metrics that can be collected
		MaxRequestsInFlight: 4,
	})
	for _, process := range processes {
		metrics.Zero(ctx, process)
	}
	return nil
}

// temporalBuckets are for the latencies of the Temporal SDK, which are in seconds. The default buckets are
// for milliseconds.
var temporalBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}

// blobBuckets are for the latencies of requests to the bucket, which are in milliseconds.
var blobBuckets = []float64{1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000}

// views change how the metrics of libraries are aggregated.
func views() []metric.View {
	return []metric.View{temporalView,
		metric.NewView(metric.Instrument{Name: "gocloud.dev/blob/latency"},
			metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: blobBuckets, NoMinMax: true},
				AttributeFilter: attribute.NewAllowKeysFilter("gocdk_method", "gocdk_status")}),
	}
}

// temporalView sets the buckets of the Temporal SDK's histograms. It drops the histograms of single attempts
// at a request, which have as many series as the histograms of whole requests and tell little more.
func temporalView(i metric.Instrument) (metric.Stream, bool) {
	if i.Kind != metric.InstrumentKindHistogram || !strings.HasPrefix(i.Name, "temporal_") {
		return metric.Stream{}, false
	}
	s := metric.Stream{Name: i.Name, Description: i.Description, Unit: i.Unit,
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: temporalBuckets, NoMinMax: true}}
	if strings.HasSuffix(i.Name, "_latency_attempt") {
		s.Aggregation = metric.AggregationDrop{}
	}
	return s, true
}
