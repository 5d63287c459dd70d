package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

const (
	exampleID   = "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"
	exampleFile = "[\n{\"memory\":\"likes tea\"},\n{\"memory\":\"lives in Lyon\"}\n]\n"
	exampleSum  = "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184"
)

// exampleServer imitates the API. The state of every export is READY when a client asks for it. It
// rejects every format except json.
func exampleServer() *httptest.Server {
	object := func(status string) string {
		return fmt.Sprintf(`{"id": %q, "status": %q, "format": "json", "created_at": "2026-01-31T12:00:00Z", "memory_count": 2, "sha256": %q, "size_bytes": %d}`,
			exampleID, status, exampleSum, len(exampleFile))
	}
	answer := func(w http.ResponseWriter, contentType string, status int, body string) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/exports", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") != "json" {
			answer(w, "application/problem+json", http.StatusUnprocessableEntity, `{"type": "about:blank", "title": "Unprocessable Entity", "status": 422,
				"code": "INVALID_REQUEST", "detail": "The request is not valid.", "errors": [{"location": "query.format", "message": "expected one of json, csv, markdown"}]}`)
			return
		}
		answer(w, "application/json", http.StatusAccepted, object("PENDING"))
	})
	mux.HandleFunc("GET /v1/exports", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "application/json", http.StatusOK, `{"data": [`+object("READY")+`], "meta": {"current_page": `+r.URL.Query().Get("page")+`, "per_page": 1, "total": 2, "last_page": 2}}`)
	})
	mux.HandleFunc("GET /v1/exports/{id}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "application/json", http.StatusOK, object("READY"))
	})
	mux.HandleFunc("GET /v1/exports/{id}/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+exampleSum+`"`)
		http.ServeContent(w, r, "memories.json", time.Time{}, strings.NewReader(exampleFile))
	})
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "msk_test_example" {
			answer(w, "application/problem+json", http.StatusUnauthorized, `{"type": "about:blank", "title": "Unauthorized", "status": 401, "code": "UNAUTHORIZED", "detail": "The API key is unknown."}`)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}
