package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
)

// scrubber removes the texts of errors from the spans of requests to the bucket, because such a text may
// contain a signed URL or an answer of the store. The status and the code of the error stay.
type scrubber struct{ trace.SpanExporter }

// blobScope is the instrumentation scope of spans of gocloud.dev/blob.
const blobScope = "gocloud.dev/blob"

// ExportSpans forwards the spans to the next exporter, without the texts of errors.
func (s scrubber) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	clean := make([]trace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		clean[i] = span
		if span.InstrumentationScope().Name == blobScope {
			clean[i] = scrubbed{span}
		}
	}
	return s.SpanExporter.ExportSpans(ctx, clean)
}

type scrubbed struct{ trace.ReadOnlySpan }

func (s scrubbed) Attributes() []attribute.KeyValue {
	var kept []attribute.KeyValue
	for _, a := range s.ReadOnlySpan.Attributes() {
		if a.Key != "gocdk_error" {
			kept = append(kept, a)
		}
	}
	return kept
}

func (s scrubbed) Events() []trace.Event { return nil } // the only event is the error

func (s scrubbed) Status() trace.Status { return trace.Status{Code: s.ReadOnlySpan.Status().Code} }
