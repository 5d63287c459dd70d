package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routes adds everything that the server answers to mux.
func (s *service) routes(mux *http.ServeMux) huma.API {
	api := humago.New(mux, config())
	// authenticate comes before refuseBadQuery, so that strangers learn nothing from validation.
	api.UseMiddleware(forbidCaching, ignoreAccept, s.refuseExhausted, s.authenticate, s.limitRate, refuseBadQuery)

	huma.Register(api, createOperation(), s.createExport)
	huma.Register(api, listOperation(), s.listExports)
	huma.Register(api, getOperation(), s.getExport)
	huma.Register(api, downloadOperation(), s.downloadExport)
	huma.Register(api, deleteOperation(), s.deleteExport)

	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	documents(mux)
	return api
}

// Document describes the API in OpenAPI 3.1. It needs no database and no server.
func Document() *huma.OpenAPI {
	return new(service).routes(http.NewServeMux()).OpenAPI()
}
