package telemetry

import (
	"context"
	"sync"
	"time"

	"memexport/internal/service/metrics"
)

// stuckRuns is for how many intervals of the reconciler a worker shows the result of its last run. Each run
// takes place on one worker only, so the older results of other workers must disappear.
const stuckRuns = 3

// stuck is what the last run of the reconciler on this worker has found.
type stuck struct {
	shown time.Duration

	mu       sync.Mutex
	found    time.Time
	byReason map[string]int
}

// ObserveStuck makes the metrics show the exports that are stuck. Call report after each run of the
// reconciler, with the number of stuck exports for each reason. every is the interval between two runs.
func (t *Telemetry) ObserveStuck(every time.Duration) (report func(byReason map[string]int), err error) {
	s := &stuck{shown: stuckRuns * every}
	stop, err := metrics.Observe(s.observe, metrics.Stuck)
	if err != nil {
		return nil, err
	}
	t.stops = append(t.stops, func(context.Context) error { return stop() })
	return s.set, nil
}

func (s *stuck) set(byReason map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found, s.byReason = time.Now(), byReason
}

func (s *stuck) observe(_ context.Context, o metrics.Observation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found.IsZero() || time.Since(s.found) > s.shown {
		return nil
	}
	for _, reason := range metrics.Stuck.Labels[0].Values {
		o.Set(metrics.Stuck, float64(s.byReason[reason]), reason)
	}
	return nil
}
