package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// scrapeEvery is the time between two scrapes. It is shorter than the usual interval of Prometheus.
const scrapeEvery = 5 * time.Second

// observed is one kind of process, with or without telemetry, and the measurements of its exports.
type observed struct {
	name    string
	env     []string
	scraped bool
	exports samples
}

// telemetry compares exports of processes without telemetry with exports of processes that have metrics, or
// metrics and traces. The kinds take turns. Each export gets new processes, which have run some small exports
// before.
func (b *benchmark) telemetry(ctx context.Context) ([]measure.Table, error) {
	// The collector accepts spans and throws them away.
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // an error means that the sender has stopped
	}))
	defer collector.Close()
	data := b.moderate()
	on := []string{"LOG_LEVEL=info", "ADMIN_ADDR=127.0.0.1:0"}
	ways := []*observed{
		{name: "off", env: []string{"LOG_LEVEL=info", "ADMIN_ADDR=off"}},
		{name: "metrics", env: on, scraped: true},
		{name: "metrics and traces", env: append(slices.Clone(on), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL), scraped: true},
	}
	c, err := b.Client(ctx, data)
	if err != nil {
		return nil, err
	}
	for round := range b.rounds + 1 { // round 0 only fills the caches
		line := ""
		for _, way := range turns(ways, round) {
			m, err := b.measureObserved(ctx, c, way)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			if round > 0 {
				way.exports = append(way.exports, m)
			}
			line += fmt.Sprintf("  %s %.2fs, CPU %.2fs, %s MiB", way.name, m.wall.Seconds(), m.cpu.Seconds(), measure.Mebibytes(m.peak))
		}
		say("%s, telemetry: round %d of %d:%s", data.Name, round, b.rounds, line)
	}
	t := measure.Table{Title: "Telemetry: " + data.Name + " as CSV",
		Head: []string{"Telemetry", "READY after s", "ratio", "worker CPU s", "ratio", "worker peak MiB (median)", "more MiB"},
		Note: fmt.Sprintf("The metrics of the worker are scraped every %s. The traces go to a collector that throws them away.", scrapeEvery)}
	for _, way := range ways {
		off := ways[0].exports
		t.Add(way.name, measure.Seconds(way.exports.wall()), way.exports.ratioTo(off), measure.Seconds(way.exports.cpu()),
			measure.Spread(measure.Ratios(way.exports.cpus(), off.cpus())),
			measure.Mebibytes(way.exports.medianPeak()), measure.Mebibytes(way.exports.medianPeak()-off.medianPeak()))
	}
	return []measure.Table{t}, b.Restart(ctx, 1)
}

func (b *benchmark) measureObserved(ctx context.Context, c benchstack.Client, way *observed) (sample, error) {
	if err := b.Restart(ctx, 1, way.env...); err != nil {
		return sample{}, err
	}
	if way.scraped {
		url, err := b.WorkerAdminURL(ctx)
		if err != nil {
			return sample{}, err
		}
		scraping, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- scrape(scraping, url+"/metrics") }()
		m, e, err := b.measureExport(ctx, c, "csv")
		stop()
		if scrapeErr := <-done; err == nil {
			err = scrapeErr
		}
		if err != nil {
			return sample{}, err
		}
		return m, c.Delete(ctx, e.ID)
	}
	m, e, err := b.measureExport(ctx, c, "csv")
	if err != nil {
		return sample{}, err
	}
	return m, c.Delete(ctx, e.ID)
}

// scrape reads the metrics until ctx ends.
func scrape(ctx context.Context, url string) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("scrape %s: %s, %w", url, response.Status, err)
		}
		select {
		case <-time.After(scrapeEvery):
		case <-ctx.Done():
			return nil
		}
	}
}
