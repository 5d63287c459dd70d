package api

import (
	"net/http"
	"strconv"

	"memexport/api/internal/connection"
)

// downloadWriter is the ResponseWriter of a download. It holds the header back until there are bytes
// to send, so that a file that cannot be read is answered with an error instead of an incomplete 200.
type downloadWriter struct {
	http.ResponseWriter
	size   int64 // of the whole file in the encoding in which it is sent
	status int
	begun  bool // the header has been written
}

func (d *downloadWriter) WriteHeader(status int) {
	d.status = status
	if status == http.StatusOK { // http.ServeContent leaves it out if there is a Content-Encoding
		d.Header().Set("Content-Length", strconv.FormatInt(d.size, 10))
	}
}

func (d *downloadWriter) Write(p []byte) (int, error) {
	if d.status >= 400 {
		return len(p), nil // plain text by http.ServeContent; refuse answers instead
	}
	if !d.begun {
		d.begun = true
		d.ResponseWriter.WriteHeader(d.status)
	}
	return d.ResponseWriter.Write(p)
}

// reset ends the connection with a reset. When a compressed body ends too early in another way, some
// browsers (Firefox 153) keep its beginning as if it were complete.
func (d *downloadWriter) reset() {
	hijacked, _, err := http.NewResponseController(d.ResponseWriter).Hijack()
	if err != nil {
		return // HTTP/2, where http.ErrAbortHandler resets the stream
	}
	connection.Reset(hijacked)
}

// refuse answers with a problem instead of the file. No byte of the file may have been written.
func (d *downloadWriter) refuse(p *Problem) {
	for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Last-Modified", "Repr-Digest"} {
		d.Header().Del(name)
	}
	writeProblem(d.ResponseWriter, p)
}

// finish writes the header if there was no body to write.
func (d *downloadWriter) finish() {
	if d.status == http.StatusNotModified {
		d.Header().Del("Content-Disposition")
		d.Header().Del("Repr-Digest")
	}
	if !d.begun {
		d.ResponseWriter.WriteHeader(d.status)
	}
}
