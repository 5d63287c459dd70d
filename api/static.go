package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// static serves content that is compiled into the program. Caches may store it, but must ask each time
// whether it is still current.
func static(contentType string, content []byte) http.Handler {
	etag := `"` + shortDigest(content) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		ignoreConditions(r)
		http.ServeContent(uncopied{w, content}, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// staticGzip serves gzipped content. Its URL must change whenever the content changes, because clients may
// cache it for good. A client that does not accept gzip gets the content uncompressed.
func staticGzip(contentType string, zipped []byte) http.Handler {
	tag := shortDigest(zipped)
	// Uncompress the content only once for all requests, so that the memory needed does not grow with
	// their number.
	plain := sync.OnceValue(func() []byte {
		reader, err := gzip.NewReader(bytes.NewReader(zipped))
		if err != nil {
			panic(err) // cannot happen: the content is embedded, and a test uncompresses it
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
		ignoreConditions(r)
		content := zipped
		if acceptsGzip(r.Header) {
			h.Set("ETag", `"`+tag+`-gzip"`)
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(content))) // http.ServeContent sets no Content-Length if there is a Content-Encoding
		} else {
			h.Set("ETag", `"`+tag+`"`)
			content = plain()
		}
		http.ServeContent(uncopied{w, content}, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// uncopied sends content in a single Write. http.ServeContent copies from a reader instead, and while a client does
// not read, that copy would hold two buffers of 32 KiB.
type uncopied struct {
	http.ResponseWriter
	content []byte
}

// ReadFrom is called by http.ServeContent to send all of content, because ignoreConditions has removed the range.
func (u uncopied) ReadFrom(io.Reader) (int64, error) {
	n, err := u.Write(u.content)
	return int64(n), err
}

// shortDigest returns the first 128 bits of the SHA-256 of content, which are enough for an ETag.
func shortDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}

// ignoreConditions removes headers to which http.ServeContent may answer with an error in plain text.
// Range headers are among them: nobody needs a part of such a small file.
func ignoreConditions(r *http.Request) {
	r.Header.Del("Range")
	r.Header.Del("If-Match")
}
