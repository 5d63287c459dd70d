package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// readyTimeout is how long /readyz waits for Options.Ready before it answers 503.
const readyTimeout = 5 * time.Second

// healthz answers that the process is alive. It does not check the database, because restarting this
// process would not repair the database.
func (s *service) healthz(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, map[string]string{"status": "ok"})
}

// readyz answers whether the process can serve requests.
func (s *service) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		s.log.DebugContext(ctx, "not ready", "error", err) // anyone may ask, and the process logs by itself that it is not ready
		writeProblem(w, newProblem(codeUnavailable))
		return
	}
	writeHealth(w, map[string]string{"status": "ready"})
}

func writeHealth(w http.ResponseWriter, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body) // an error only means that the client has gone away
}
