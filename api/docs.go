package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2/negotiation"

	"memexport/openapi"
)

// docsPolicy lets the page run its own two scripts and talk to this server. The component puts its
// styles into the page, hence 'unsafe-inline' for these.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docs serves the page for people. It needs no key: it shows what /openapi.yaml has.
func docs(mux *http.ServeMux) {
	page := document("text/html; charset=utf-8", openapi.DocsPage)
	mux.HandleFunc("GET /docs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		page.ServeHTTP(w, r)
	})
	mux.Handle("GET /docs/init.js", document("text/javascript; charset=utf-8", openapi.DocsInit))
	mux.Handle("GET /docs/favicon.svg", document("image/svg+xml", openapi.DocsIcon))
	mux.Handle("GET /docs/licenses.txt", document("text/plain; charset=utf-8", openapi.DocsLicenses))
	mux.Handle("GET /docs/"+openapi.DocsComponentName, compressed("text/javascript; charset=utf-8", openapi.DocsComponent))
	mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
}

// compressed serves gzipped content under a name that stands for this very content forever. Who
// does not accept gzip gets it inflated.
func compressed(contentType string, zipped []byte) http.Handler {
	sum := sha256.Sum256(zipped)
	tag := hex.EncodeToString(sum[:16])
	inflated := sync.OnceValue(func() []byte { // once for all: memory must not grow with such requests
		reader, err := gzip.NewReader(bytes.NewReader(zipped))
		if err != nil {
			panic(err) // embedded, and inflated by a test
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			panic(err)
		}
		return content
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		r.Header.Del("Range")
		r.Header.Del("If-Match")
		content := zipped
		// With "identity" first, "gzip;q=0" is not taken for consent.
		if negotiation.SelectQValue(strings.Join(r.Header.Values("Accept-Encoding"), ","), []string{"identity", "gzip"}) == "gzip" {
			h.Set("ETag", `"`+tag+`-gzip"`)
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(content))) // ServeContent leaves it out of encoded answers
		} else {
			h.Set("ETag", `"`+tag+`"`)
			content = inflated()
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}
