package main

import (
	"context"
	"strings"
	"time"

	"memexport/internal/service/metrics"
	"memexport/internal/service/telemetry"
)

const (
	// readinessFirst is the pause after the first check. A worker needs a moment until it polls.
	readinessFirst = 3 * time.Second
	readinessEvery = 15 * time.Second // as often as Prometheus usually scrapes
	readinessTold  = 10 * time.Minute // how often the log repeats that a part is not ready
)

// watchReadiness checks at an interval whether a part of the process is ready, until ctx ends. It sets the gauge
// to 1 or 0 and tells the log. after is called after each check and may be nil.
func (s *service) watchReadiness(ctx context.Context, part string, ready *metrics.Gauge, after func()) {
	trouble := telemetry.Episode{Log: s.log.With("part", part), Every: readinessTold, Begun: "not ready", Over: "ready again"}
	began := time.Now()
	for pause := readinessFirst; ; pause = readinessEvery {
		err := s.admin.Ready(ctx, part)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			ready.Set(ctx, 1)
			trouble.Succeeded(ctx)
		} else {
			ready.Set(ctx, 0)
			if time.Since(began) >= readinessEvery { // until then the part may still be starting
				kind, _, _ := strings.Cut(err.Error(), ":") // what follows may differ each time, such as the port of a connection
				trouble.Failed(ctx, kind, "problem", err)
			}
		}
		if after != nil {
			after()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// showCurrent sets the gauge that says whether Temporal gives tasks to the build of this worker.
func (s *service) showCurrent(ctx context.Context) {
	b := s.temporal.State().Build
	if b == nil || b.Current == nil {
		return // Temporal has not said it
	}
	current := 0.0
	if *b.Current || b.Ramping > 0 {
		current = 1
	}
	metrics.Current.Set(ctx, current)
}
