package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// settled is how long a problem must last before it is logged if the same problem was logged less than Every
// ago. Without this delay, a problem that comes and goes would fill the log.
const settled = 30 * time.Second

// Episode logs a problem that lasts: once when it begins, again every Every while it lasts, and once when it
// is over. Several goroutines may call its methods.
type Episode struct {
	Log   *slog.Logger
	Every time.Duration // how often the problem is logged again
	Begun string        // the message while it lasts
	Over  string        // the message when it is over

	mu       sync.Mutex
	since    time.Time // zero if there is no problem
	failures int
	told     bool      // whether this episode was logged
	kind     string    // the kind in the line that was logged last
	last     time.Time // when the last line was logged
}

// Failed records that the problem exists. It logs the problem at once if kind, which names the problem, has
// changed.
func (e *Episode) Failed(ctx context.Context, kind string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.since.IsZero() {
		e.since, e.failures, e.told = now, 0, false
	}
	e.failures++
	due := kind != e.kind || now.Sub(e.last) >= e.Every || !e.told && now.Sub(e.since) >= settled
	if !due {
		return
	}
	if e.failures > 1 {
		args = append(args, "since", e.since.UTC(), "failures", e.failures)
	}
	e.told, e.kind, e.last = true, kind, now
	e.Log.WarnContext(ctx, e.Begun, args...)
}

// Succeeded records that the problem does not exist, or no longer exists.
func (e *Episode) Succeeded(ctx context.Context, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.since.IsZero() {
		return
	}
	lasted := time.Since(e.since)
	e.since = time.Time{}
	if e.told {
		e.Log.InfoContext(ctx, e.Over, append(args, "lasted", lasted.Round(time.Millisecond).String(), "failures", e.failures)...)
	}
}
