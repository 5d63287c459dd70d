package api

import (
	"net/http"
	"strings"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// longestAddress is the longest time for which a signed URL in the store works. It is short because anyone
// who has the URL can read the file without a key.
const longestAddress = 15 * time.Minute

// addressInStore returns a signed URL from which the client can download the file from the store, or "" if
// the API must send the file itself.
func (s *service) addressInStore(r *http.Request, e export.Export) string {
	if !s.redirect || e.FileObject == nil || r.Method != http.MethodGet {
		return ""
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Range"} {
		if strings.Contains(r.Header.Get(name), *e.SHA256) {
			return "" // the ETag of the file in the store differs from the ETag that the API sends
		}
	}
	lifetime := min(longestAddress, time.Until(*e.ExpiresAt)).Truncate(time.Second) // a signature's lifetime is in whole seconds
	f, ok := format.Lookup(e.Format)
	if !ok || lifetime < time.Second || strings.Contains(r.Header.Get("Range"), ",") { // S3 does not support several ranges in one request
		return ""
	}
	address, err := s.archive.SignedURL(r.Context(), *e.FileObject, lifetime, filename(e, f))
	if err != nil {
		s.log.WarnContext(r.Context(), "no address in the store could be signed; the API sends the file", append(infoOf(r.Context()).attrs(), "error", err)...)
		return ""
	}
	return address
}
