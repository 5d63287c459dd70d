package memory

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestTheSpanOfAPageSaysHowItEndedWithoutAText(t *testing.T) {
	sent := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(sent))
	otel.SetTracerProvider(provider)
	defer provider.Shutdown(t.Context()) //nolint:errcheck // so that the spans of other tests are not collected
	s, db := open(t)
	addTied(t, db, 5)
	s = s.with(t, SourceOptions{PageRows: 3})
	visited, secret := 0, errors.New("a secret")
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
		if visited++; visited == 5 {
			return secret
		}
		return nil
	})
	spans := sent.GetSpans()
	if !errors.Is(err, secret) || len(spans) != 2 {
		t.Fatalf("%d spans of two pages: %v", len(spans), err)
	}
	for i, want := range []struct {
		rows   int
		status trace.Status
	}{{3, trace.Status{Code: codes.Unset}}, {2, trace.Status{Code: codes.Error}}} {
		if rows := attribute.Int("memexport.memories", want.rows); spans[i].Status != want.status || len(spans[i].Events) > 0 ||
			len(spans[i].Attributes) != 1 || spans[i].Attributes[0] != rows {
			t.Errorf("the page %d has the status %v, %v and %v", i, spans[i].Status, spans[i].Attributes, spans[i].Events)
		}
	}
}
