package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// settled is how long a problem must last before it is told again, if it was told within Every and went away
// in between. A problem that comes and goes would fill the log otherwise.
const settled = 30 * time.Second

// Episode logs a problem that lasts: once when it begins, seldom while it lasts, and once when it is over. Its
// methods may be called at the same time.
type Episode struct {
	Log   *slog.Logger
	Every time.Duration // how often the problem is told again
	Begun string        // the message while it lasts
	Over  string        // the message when it is over

	mu       sync.Mutex
	since    time.Time // zero if there is no problem
	failures int
	told     bool      // whether this episode was told
	kind     string    // of the last line
	last     time.Time // when the last line was logged
}

// Failed says that the problem is there. The kind names the problem: another kind is told at once.
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

// Succeeded says that the problem is not there, or no longer.
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
