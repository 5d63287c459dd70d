package api

import (
	"net/http"
	"path"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
	"memexport/openapi"
)

// routes is all that the server answers to.
func (s *server) routes(mux *http.ServeMux) huma.API {
	api := humago.New(mux, config())
	api.UseMiddleware(s.authenticate, refuseBadQuery) // in this order: strangers learn nothing from validation

	huma.Register(api, operation("createExport", "POST", "/v1/exports", apikey.WriteExports), s.createExport)
	huma.Register(api, operation("listExports", "GET", "/v1/exports", apikey.ReadExports), s.listExports)
	huma.Register(api, operation("getExport", "GET", "/v1/exports/{id}", apikey.ReadExports), s.getExport)
	huma.Register(api, operation("downloadExport", "GET", "/v1/exports/{id}/download", apikey.ReadExports), s.downloadExport)
	huma.Register(api, operation("deleteExport", "DELETE", "/v1/exports/{id}", apikey.WriteExports), s.deleteExport)

	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)

	mux.Handle("GET /openapi.yaml", document("application/yaml", openapi.YAML))
	mux.Handle("GET /openapi.json", document("application/json", openapi.JSON))
	mux.Handle("GET /openapi-3.0.yaml", document("application/yaml", openapi.YAML30))
	mux.Handle("GET /openapi-3.0.json", document("application/json", openapi.JSON30))
	docs(mux)
	return api
}

// maxTarget bounds the request target, path and query together. Beyond about 1 MB of headers
// net/http itself answers 431 before any handler runs.
const maxTarget = 16 << 10

// refuseUnroutable turns what http.ServeMux would answer in plain text, or with a redirect to a
// cleaner path, into problem details.
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
		case pattern == "": // no route; the handler that there is knows the reason
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

// statusOnly is a ResponseWriter that forgets the body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
