package activities_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/format"
	"memexport/internal/service/metrics"
)

// metricReader reads all metrics of this process. OpenTelemetry can set the provider of instruments only once.
var metricReader = sync.OnceValue(func() *metric.ManualReader {
	reader := metric.NewManualReader()
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	return reader
})

// counted returns by how much run increases a counter with the given value of its label.
func counted(t *testing.T, counter *metrics.Counter, label string, run func()) int64 {
	t.Helper()
	before := count(t, counter, label)
	run()
	return count(t, counter, label) - before
}

func count(t *testing.T, counter *metrics.Counter, label string) (n int64) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := metricReader().Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != counter.Name {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				if value, _ := point.Attributes.Value(attribute.Key(counter.Labels[0].Name)); value.AsString() == label {
					n += point.Value
				}
			}
		}
	}
	return n
}

func TestTheBytesThatWereVerifiedAreCounted(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(300)
	id := h.create(format.CSV)
	ranges, err := h.Exports.Start(t.Context(), id, h.split(3))
	if err != nil {
		t.Fatal(err)
	}
	n := counted(t, metrics.BytesVerified, format.CSV.Name, func() {
		must[activities.PublishResult](h, h.Publish, h.written(id, activities.PlanResult{Ranges: ranges}))
	})
	if want := *h.find(id).SizeBytes - int64(len(format.CSV.Suffix)); n != want { // the suffix is not stored
		t.Errorf("%d bytes were verified, want %d", n, want)
	}
}

func TestAVerificationThatFailsIsCountedWithItsReason(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, plan := h.started(format.JSON)
	h.written(id, plan)
	verify := func(options ...environment) {
		if _, err := do[archive.Digest](h, h.Verify, activities.VerifyInput{ExportID: id}, options...); err == nil {
			t.Error("the verification succeeded")
		}
	}
	path := filepath.Join(h.dir, filepath.FromSlash(h.parts(id)[0].Object))
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, metrics.VerifyFailed, "StorageCorrupt", func() { verify() }); n != 1 {
		t.Errorf("%d verifications found a damaged part", n)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, metrics.VerifyFailed, "StorageUnavailable", func() { verify() }); n != 1 {
		t.Errorf("%d verifications found that a part is gone", n)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := make(chan struct{})
	for name, c := range map[string]struct {
		environment environment
		end         func()
	}{
		"cancelled": {within(ctx), func() { cancel(temporal.NewCanceledError()) }},
		"stopped":   {stoppedBy(stop), sync.OnceFunc(func() { close(stop) })},
	} {
		h.openS3(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { // answers only when the attempt has ended
			c.end()
			<-r.Context().Done()
		}), archive.Options{})
		if n := counted(t, metrics.VerifyFailed, "Stopped", func() { verify(c.environment) }); n != 1 {
			t.Errorf("%s: %d verifications were stopped", name, n)
		}
	}
}
