package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// routes registers every route of the server with mux.
func (s *service) routes(mux *http.ServeMux) huma.API {
	api := humago.New(mux, config())
	// authenticate comes before refuseBadQuery, so that callers without a credential learn nothing from
	// validation errors. limitRate comes before authorize, so that refused requests count too.
	api.UseMiddleware(forbidCaching, ignoreAccept, s.refuseExhausted, s.authenticate, s.limitRate, s.authorize, refuseBadQuery)

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

// Document returns the description of the API in OpenAPI 3.1. It needs no database and no running server.
func Document() *huma.OpenAPI {
	return new(service).routes(http.NewServeMux()).OpenAPI()
}
