package api

import (
	"net/http"
	"strings"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// longestAddress is how long an address in the store works at most. Anyone with the address can read
// the file, without a key.
const longestAddress = 15 * time.Minute

// addressInStore returns an address in the store from which the client can download the file, or ""
// if the API has to send the file itself.
func (s *service) addressInStore(r *http.Request, e export.Export) string {
	if !s.redirect || e.FileObject == nil || r.Method != http.MethodGet {
		return ""
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Range"} {
		if strings.Contains(r.Header.Get(name), *e.SHA256) {
			return "" // in the store the file has another ETag
		}
	}
	lifetime := min(longestAddress, time.Until(*e.ExpiresAt)).Truncate(time.Second) // signed in seconds
	f, ok := format.Lookup(e.Format)
	if !ok || lifetime < time.Second || strings.Contains(r.Header.Get("Range"), ",") { // S3 sends one range only
		return ""
	}
	address, err := s.archive.SignedURL(r.Context(), *e.FileObject, lifetime, filename(e, f))
	if err != nil {
		s.log.WarnContext(r.Context(), "no address in the store could be signed; the API sends the file", append(infoOf(r.Context()).attrs(), "error", err)...)
		return ""
	}
	return address
}
