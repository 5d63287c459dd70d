package api

import (
	"net/http"
	"path"
)

// maxTarget is the greatest length of a request target (path and query together) in bytes. Requests that
// are longer than maxHeaderBytes are already refused by net/http.
const maxTarget = 16 << 10

// refuseUnroutable answers with a problem where http.ServeMux would answer in plain text or redirect to a
// cleaned path. It passes all other requests to mux.
func refuseUnroutable(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.RequestURI) > maxTarget {
			writeProblem(w, newProblem(codeURITooLong))
			return
		}
		handler, pattern := mux.Handler(r)
		switch {
		case r.URL.Path != path.Clean(r.URL.Path):
			writeProblem(w, newProblem(codeNotFound))
		case pattern == "": // there is no route, and handler writes the reason
			answer := statusOnly{header: http.Header{}}
			handler.ServeHTTP(&answer, r)
			if answer.status == http.StatusMethodNotAllowed {
				writeProblem(w, newProblem(codeMethodNotAllowed).with("Allow", answer.header.Get("Allow")))
			} else {
				writeProblem(w, newProblem(codeNotFound))
			}
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// statusOnly is a ResponseWriter that discards the body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
