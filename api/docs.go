package api

import (
	"net/http"

	"memexport/openapi"
)

// docsPolicy is the Content-Security-Policy of the documentation page. It lets the page run its own two
// scripts and talk to this server. Styles need 'unsafe-inline', because the script that draws the page
// adds inline styles.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// documents serves the OpenAPI documents and the page that shows them. Callers need no key for them.
func documents(mux *http.ServeMux) {
	mux.Handle("GET /openapi.yaml", static("application/yaml", openapi.YAML))
	mux.Handle("GET /openapi.json", static("application/json", openapi.JSON))
	mux.Handle("GET /openapi-3.0.yaml", static("application/yaml", openapi.YAML30))
	mux.Handle("GET /openapi-3.0.json", static("application/json", openapi.JSON30))

	page := static("text/html; charset=utf-8", openapi.DocsPage)
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		page.ServeHTTP(w, r)
	})
	mux.Handle("GET /docs/init.js", static("text/javascript; charset=utf-8", openapi.DocsInit))
	mux.Handle("GET /docs/favicon.svg", static("image/svg+xml", openapi.DocsIcon))
	mux.Handle("GET /docs/licenses.txt", static("text/plain; charset=utf-8", openapi.DocsLicenses))
	mux.Handle("GET /docs/"+openapi.DocsComponentName, staticGzip("text/javascript; charset=utf-8", openapi.DocsComponent))
	mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
}
