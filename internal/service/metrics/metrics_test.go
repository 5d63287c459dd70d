package metrics_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"memexport/internal/service/metrics"
)

func TestOnlyDeclaredValuesBecomeLabels(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	otel.SetMeterProvider(provider)
	metrics.Zero(t.Context(), metrics.Worker)
	metrics.PartsWritten.Add(t.Context(), 1, "csv")
	metrics.PartsWritten.Add(t.Context(), 1, "0198b9d1-52e7-7a31-8c44-6f0d2b9e1a57")
	metrics.PartsWritten.Add(t.Context(), 1)
	stop, err := metrics.Observe(func(context.Context, metrics.Observation) error { return errors.New("away") }, metrics.Queued)
	if err != nil {
		t.Fatal(err)
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err == nil {
		t.Error("the error of an observed gauge is not reported")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	found := map[string]int64{}
	names := map[string]bool{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			names[m.Name] = true
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == metrics.PartsWritten.Name {
				for _, point := range sum.DataPoints {
					value, _ := point.Attributes.Value("format")
					found[value.AsString()] = point.Value
				}
			}
		}
	}
	if len(found) != 6 || found["csv"] != 1 || found[metrics.Other] != 2 || found["json"] != 0 {
		t.Errorf("the counter has the values %v", found)
	}
	if !names[metrics.PartsRetried.Name] || names[metrics.Created.Name] {
		t.Errorf("Zero of the worker makes %v appear", names)
	}
}
