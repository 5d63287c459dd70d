package telemetry

import (
	"log/slog"
	"sync"
	"time"
)

// errorsEvery is the shortest time between two log lines about errors of OpenTelemetry. A collector that is
// down causes an error every few seconds.
const errorsEvery = 5 * time.Minute

// errorHandler logs errors of OpenTelemetry, but only seldom.
type errorHandler struct {
	log *slog.Logger

	mu     sync.Mutex
	last   time.Time
	hidden int // how many errors were left out since an error was last logged
}

func newErrorHandler(log *slog.Logger) *errorHandler { return &errorHandler{log: log} }

// Handle is called by OpenTelemetry.
func (h *errorHandler) Handle(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.last) >= errorsEvery {
		h.log.Warn("telemetry fails; if traces cannot be sent, check OTEL_EXPORTER_OTLP_ENDPOINT, or unset it to send none",
			"error", err, "not_logged", h.hidden)
		h.last, h.hidden = now, 0
		return
	}
	h.hidden++
}
