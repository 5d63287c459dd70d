package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// healthz says that the process lives. It asks nobody else: a restart would not heal a database.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, map[string]string{"status": "ok", "version": s.version})
}

// readyz says whether the process can serve.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		s.log.WarnContext(ctx, "not ready", "error", err)
		writeProblem(w, newProblem(codeUnavailable))
		return
	}
	writeHealth(w, map[string]string{"status": "ready"})
}

func writeHealth(w http.ResponseWriter, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body) // it fails only if the client is gone
}

// document serves one of the generated documents, which change only with the program.
func document(contentType string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache") // keep it, but ask whether it is still the same
		w.Header().Set("ETag", etag)
		r.Header.Del("Range") // a part of a document helps nobody, and ServeContent refuses in plain text
		r.Header.Del("If-Match")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}
