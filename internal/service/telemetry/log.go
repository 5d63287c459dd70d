// Package telemetry configures how the processes report what they do: logs, metrics and traces.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger returns a logger that writes to w: key=value pairs if format is "text", otherwise one JSON object
// per line. A line that belongs to a trace has the attribute trace_id. A line about an export's workflow has
// the attribute export_id.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(handler{slog.NewTextHandler(w, options)})
	}
	return slog.New(handler{slog.NewJSONHandler(w, options)})
}

// handler adds trace_id and export_id to lines.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String(traceKey, span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

const (
	traceKey       = "trace_id"
	workflowPrefix = "export-" // the prefix of the ids of workflows: see export.WorkflowID
)

// WithAttrs is called with the attributes that the Temporal SDK adds to the lines of workflows and
// activities.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var all []slog.Attr
	for _, a := range attrs {
		switch a.Key {
		case "TraceID": // the SDK's name for the id of the trace
			a = slog.String(traceKey, a.Value.String())
		case "SpanID":
			continue
		case "WorkflowID":
			if id, found := strings.CutPrefix(a.Value.String(), workflowPrefix); found {
				all = append(all, slog.String("export_id", id))
			}
		}
		all = append(all, a)
	}
	return handler{h.Handler.WithAttrs(all)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
