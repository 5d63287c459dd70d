//go:generate go test -run TestTheTableInTheDocumentIsCurrent -update

// Package metrics declares the metrics of the service. The other packages record into them. The metrics are
// OpenTelemetry instruments of the global meter, so recording does nothing until package telemetry has set up
// a meter provider.
//
// The values of a label are a closed set, which the declaration lists. A value outside the set is recorded
// as Other. So no id, and nothing that a client chooses, can become the value of a label.
package metrics

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Other is recorded for a value that the declaration of a label does not list.
const Other = "other"

// Kind is the type of a metric in Prometheus.
type Kind string

// The kinds of metrics.
const (
	CounterKind   Kind = "counter"
	GaugeKind     Kind = "gauge"
	HistogramKind Kind = "histogram"
)

// Process is a command that exports a metric.
type Process string

// The processes that export metrics.
const (
	API    Process = "api"
	Worker Process = "worker"
)

// Label is a label of a metric and its possible values.
type Label struct {
	Name   string
	Values []string
}

// Metric describes a metric.
type Metric struct {
	Name    string // the name in Prometheus
	Kind    Kind
	Process Process // the process that exports it
	Labels  []Label
	Help    string
}

// All lists every metric of this package, in no particular order.
var All []Metric

var meter = otel.Meter("memexport")

// declare adds a metric to All.
func declare(name string, kind Kind, by Process, help string, labels []Label) Metric {
	m := Metric{Name: name, Kind: kind, Process: by, Labels: labels, Help: help}
	All = append(All, m)
	return m
}

// must returns an instrument. An error means that a declaration is wrong: its name is not valid.
func must[T any](instrument T, err error) T {
	if err != nil {
		panic(err)
	}
	return instrument
}

// attributes returns the labels with the given values, in the order of the declaration.
func (m *Metric) attributes(values []string) metric.MeasurementOption {
	pairs := make([]attribute.KeyValue, len(m.Labels))
	for i, label := range m.Labels {
		value := Other
		if i < len(values) && slices.Contains(label.Values, values[i]) {
			value = values[i]
		}
		pairs[i] = attribute.String(label.Name, value)
	}
	return metric.WithAttributeSet(attribute.NewSet(pairs...))
}

// Counter counts events.
type Counter struct {
	Metric
	instrument metric.Int64Counter
	possible   func(values []string) bool // nil if all combinations of values are possible
}

func counter(name string, by Process, help string, labels ...Label) *Counter {
	c := &Counter{Metric: declare(name, CounterKind, by, help, labels),
		instrument: must(meter.Int64Counter(name, metric.WithDescription(help)))}
	counters = append(counters, c)
	return c
}

// counters are the counters that Zero sets.
var counters []*Counter

// where limits the combinations of label values that Zero sets.
func (c *Counter) where(possible func(values []string) bool) *Counter {
	c.possible = possible
	return c
}

// Add adds n. The values of the labels are in the order of the declaration.
func (c *Counter) Add(ctx context.Context, n int64, values ...string) {
	c.instrument.Add(ctx, n, c.attributes(values))
}

// Zero makes every counter of a process appear with the value 0 for all values of its labels. Otherwise a
// counter would appear only with its first event, and Prometheus would not see the increase from 0 to 1.
func Zero(ctx context.Context, by Process) {
	for _, c := range counters {
		if c.Process == by {
			c.zero(ctx, nil)
		}
	}
	for _, f := range inFlights {
		if f.Process == by {
			f.instrument.Add(ctx, 0)
		}
	}
}

func (c *Counter) zero(ctx context.Context, values []string) {
	if len(values) == len(c.Labels) {
		if c.possible == nil || c.possible(values) {
			c.Add(ctx, 0, values...)
		}
		return
	}
	for _, value := range c.Labels[len(values)].Values {
		c.zero(ctx, append(slices.Clip(values), value))
	}
}

// Histogram records a distribution.
type Histogram struct {
	Metric
	instrument metric.Float64Histogram
}

func histogram(name string, by Process, help string, buckets []float64, labels ...Label) *Histogram {
	return &Histogram{Metric: declare(name, HistogramKind, by, help, labels),
		instrument: must(meter.Float64Histogram(name, metric.WithDescription(help), metric.WithExplicitBucketBoundaries(buckets...)))}
}

// Record records one value. The values of the labels are in the order of the declaration.
func (h *Histogram) Record(ctx context.Context, value float64, values ...string) {
	h.instrument.Record(ctx, value, h.attributes(values))
}

// InFlight counts the operations that are running at the moment.
type InFlight struct {
	Metric
	instrument metric.Int64UpDownCounter
}

func inFlight(name string, by Process, help string) *InFlight {
	f := &InFlight{Metric: declare(name, GaugeKind, by, help, nil),
		instrument: must(meter.Int64UpDownCounter(name, metric.WithDescription(help)))}
	inFlights = append(inFlights, f)
	return f
}

// inFlights are the gauges that Zero sets.
var inFlights []*InFlight

// Begin adds one. The function end subtracts it again.
func (f *InFlight) Begin(ctx context.Context) (end func()) {
	f.instrument.Add(ctx, 1)
	return func() { f.instrument.Add(ctx, -1) }
}

// Gauge holds the last value that was set.
type Gauge struct {
	Metric
	instrument metric.Float64Gauge
}

func gauge(name string, by Process, help string) *Gauge {
	return &Gauge{Metric: declare(name, GaugeKind, by, help, nil),
		instrument: must(meter.Float64Gauge(name, metric.WithDescription(help)))}
}

// Set sets the value.
func (g *Gauge) Set(ctx context.Context, value float64) { g.instrument.Record(ctx, value) }

// Observed is a gauge whose value is asked for when the metrics are scraped.
type Observed struct {
	Metric
	instrument metric.Float64ObservableGauge
}

func observed(name string, by Process, help string, labels ...Label) *Observed {
	return &Observed{Metric: declare(name, GaugeKind, by, help, labels),
		instrument: must(meter.Float64ObservableGauge(name, metric.WithDescription(help)))}
}

// Observation reports the values of Observed gauges during one scrape.
type Observation struct{ observer metric.Observer }

// Set reports a value. The values of the labels are in the order of the declaration.
func (o Observation) Set(g *Observed, value float64, values ...string) {
	o.observer.ObserveFloat64(g.instrument, value, g.attributes(values))
}

// Observe calls the function observe at every scrape, until stop is called. observe sets the gauges.
func Observe(observe func(context.Context, Observation) error, gauges ...*Observed) (stop func() error, err error) {
	instruments := make([]metric.Observable, len(gauges))
	for i, g := range gauges {
		instruments[i] = g.instrument
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return observe(ctx, Observation{o})
	}, instruments...)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}
