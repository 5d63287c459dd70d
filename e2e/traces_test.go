package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"memexport/internal/workshop/await"
)

// otlpReceiver is a collector that keeps the spans that it receives by OTLP over HTTP.
type otlpReceiver struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*tracepb.Span
}

func newOTLPReceiver(t *testing.T) *otlpReceiver {
	r := &otlpReceiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var received collector.ExportTraceServiceRequest
		if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &received) != nil {
			t.Errorf("received %s: %v", request.URL, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range received.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// trace returns the spans of a trace that have been received so far.
func (r *otlpReceiver) trace(id string) []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.spans), func(s *tracepb.Span) bool { return hex.EncodeToString(s.TraceId) != id })
}

// text returns all spans that have been received so far, as text.
func (r *otlpReceiver) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, s := range r.spans {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

// env returns the variables with which a process sends its spans to r at once.
func (r *otlpReceiver) env(more ...string) []string {
	return append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_BSP_SCHEDULE_DELAY=100"}, more...)
}

// wantSpans waits until the trace has spans with these names.
func (r *otlpReceiver) wantSpans(t *testing.T, trace string, names ...string) []*tracepb.Span {
	t.Helper()
	var spans []*tracepb.Span
	var missing []string
	await.True(t, time.Minute, "the trace is complete", func() bool {
		spans = r.trace(trace)
		missing = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return slices.ContainsFunc(spans, func(s *tracepb.Span) bool { return s.Name == name })
		})
		return len(missing) == 0
	})
	return spans
}

// exportSpans are the names of the spans that every export has.
var exportSpans = []string{"POST /v1/exports", "INSERT memexport.exports", "StartWorkflow:Export", "StartActivity:Plan", "RunActivity:Plan",
	"read a page of memories", "gocloud.dev/blob.NewWriter", "INSERT memexport.export_parts", "gocloud.dev/blob.NewRangeReader",
	"UPDATE memexport.exports"}

func TestOneTraceLeadsFromTheRequestToPublish(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "traces")
	r := newOTLPReceiver(t)
	_, url := d.api(t, r.env("EXPORT_WORKSPACE_RUNNING=1")...)
	c := d.tenant(t, url, 24_000)
	const first, second = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
	// Only one export of a workspace may run at a time, and no worker is there yet. So the second export
	// waits, and a worker starts it later.
	e := c.create(t, "format=csv&user_id=user-7", "traceparent", "00-"+first+"-b7ad6b7169203331-01")
	later := c.create(t, "format=json", "traceparent", "00-"+second+"-b7ad6b7169203331-01")
	d.worker(t, r.env("EXPORT_WORKSPACE_RUNNING=1")...)
	c.ready(t, e.ID, time.Minute)
	c.ready(t, later.ID, time.Minute)

	for trace, id := range map[string]string{first: e.ID, second: later.ID} {
		names, publisher := exportSpans, "RunActivity:Plan" // Plan also writes and publishes the small export of user-7
		if id == later.ID {
			names, publisher = append(names, "RunActivity:WriteRange", "RunActivity:Publish"), "RunActivity:Publish"
		}
		spans := r.wantSpans(t, trace, names...)
		known := map[string]bool{"b7ad6b7169203331": true}
		for _, s := range spans {
			known[hex.EncodeToString(s.SpanId)] = true
		}
		published := false
		for _, s := range spans {
			if !known[hex.EncodeToString(s.ParentSpanId)] {
				t.Errorf("the parent of the span %q is missing", s.Name)
			}
			text := s.String()
			for _, secret := range []string{"user-7", `says "hello"`, c.key} {
				if strings.Contains(text, secret) {
					t.Errorf("a span has %q: %s", secret, text)
				}
			}
			published = published || s.Name == publisher && strings.Contains(text, id) && strings.Contains(text, c.workspace)
		}
		if !published {
			t.Errorf("the span %s does not name the export %s", publisher, id)
		}
		if len(spans) > 150 {
			t.Errorf("an export of one range has %d spans", len(spans))
		}
		t.Logf("the trace of the export %s has %d spans", id, len(spans))
	}
	for _, s := range r.trace(first) {
		if strings.HasPrefix(s.Name, "CreateSchedule") || strings.Contains(s.Name, "Reconcile") {
			t.Errorf("the span %q belongs to the trace of an export", s.Name)
		}
	}
}

func TestACollectorThatIsAwayDisturbsNothing(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "no-collector")
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=100"}
	_, url := d.api(t, env...)
	worker := d.worker(t, env...)
	c := d.tenant(t, url, 500)
	c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	worker.wantSays(t, "OTEL_EXPORTER_OTLP_ENDPOINT")
	refuses(t, append(d.env, "OTEL_TRACES_EXPORTER=zipkin"), []string{"worker"}, "OTEL_TRACES_EXPORTER", "otlp or none")
}
