package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
)

const (
	censusEvery   = 15 * time.Second // bounds what scrapes cost the database
	censusTimeout = 5 * time.Second  // shorter than the time after which Prometheus gives up a scrape
	// overdueSlack gives a failed purge time for more attempts before it counts as overdue.
	overdueSlack = 10 * time.Minute
)

// table reports what the table of exports says.
type table struct {
	log     *slog.Logger
	exports *export.Store
	grace   time.Duration

	mu     sync.Mutex
	latest export.Census
	err    error
	taken  time.Time
}

// ObserveExports makes the metrics show what the table of exports says. grace is how long the objects of an
// export stay after it has expired.
func (t *Telemetry) ObserveExports(exports *export.Store, grace time.Duration) error {
	if t.Handler == nil {
		return nil
	}
	o := &table{log: t.log, exports: exports, grace: grace}
	stop, err := metrics.Observe(o.observe, metrics.Exports, metrics.OldestUnfinished, metrics.Queued, metrics.OldestQueued,
		metrics.PurgesOverdue, metrics.StoredBytes, metrics.StoreFull)
	if err == nil {
		t.stops = append(t.stops, func(context.Context) error { return stop() })
	}
	return err
}

// observe reports the gauges. If the database does not answer, it reports none, so that nobody takes old
// numbers for new ones.
func (t *table) observe(ctx context.Context, o metrics.Observation) error {
	census, err := t.census(ctx)
	if err != nil {
		metrics.TableErrors.Add(ctx, 1)
		return nil
	}
	oldest := map[export.Status]float64{export.Pending: 0, export.Processing: 0}
	var queued, overdue int
	var oldestQueued float64
	for _, g := range census.Groups {
		o.Set(metrics.Exports, float64(g.Exports), string(g.Status), g.Format)
		if _, unfinished := oldest[g.Status]; unfinished {
			oldest[g.Status] = max(oldest[g.Status], g.Oldest)
		}
		queued, overdue = queued+g.Queued, overdue+g.Overdue
		oldestQueued = max(oldestQueued, g.OldestQueued)
	}
	for status, seconds := range oldest {
		o.Set(metrics.OldestUnfinished, seconds, string(status))
	}
	o.Set(metrics.Queued, float64(queued))
	o.Set(metrics.OldestQueued, oldestQueued)
	o.Set(metrics.PurgesOverdue, float64(overdue))
	o.Set(metrics.StoredBytes, float64(census.Bytes))
	full := 0.0
	if census.Full {
		full = 1
	}
	o.Set(metrics.StoreFull, full)
	return nil
}

// census returns the latest census, or takes a new one if that is too old.
func (t *table) census(ctx context.Context) (export.Census, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken.IsZero() || time.Since(t.taken) >= censusEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), censusTimeout)
		defer cancel()
		failed := t.err != nil
		t.latest, t.err = t.exports.TakeCensus(ctx, overdueSlack, t.grace)
		t.taken = time.Now()
		if t.err != nil && !failed {
			t.log.Warn("the metrics lack the numbers of exports, because the database in DATABASE_URL does not answer", "error", t.err)
		}
	}
	return t.latest, t.err
}
