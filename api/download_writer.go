package api

import (
	"net/http"
	"strconv"

	"memexport/api/internal/connection"
)

// downloadWriter is the ResponseWriter of a download. It does not write the header before there are bytes
// to send, so that a file that cannot be read is answered with an error instead of an incomplete 200.
type downloadWriter struct {
	http.ResponseWriter
	size   int64 // size of the whole file in bytes; the compressed size if the file is sent compressed
	status int
	begun  bool // the header has been written

	count     func(bytes int64) // counts sent bytes
	uncounted int64
	broken    bool // a write has failed, because the client has gone away
}

// countEvery is the number of sent bytes after which count is called.
const countEvery = 1 << 20

func (d *downloadWriter) WriteHeader(status int) {
	d.status = status
	if status == http.StatusOK { // http.ServeContent sets no Content-Length if there is a Content-Encoding
		d.Header().Set("Content-Length", strconv.FormatInt(d.size, 10))
	}
}

func (d *downloadWriter) Write(p []byte) (int, error) {
	if d.status >= 400 {
		return len(p), nil // drop the plain-text error of http.ServeContent; refuse writes a problem instead
	}
	if !d.begun {
		d.begun = true
		d.ResponseWriter.WriteHeader(d.status)
	}
	n, err := d.ResponseWriter.Write(p)
	d.broken = d.broken || err != nil
	if d.uncounted += int64(n); d.uncounted >= countEvery {
		d.countRest()
	}
	return n, err
}

// countRest counts the bytes that are not counted yet.
func (d *downloadWriter) countRest() {
	d.count(d.uncounted)
	d.uncounted = 0
}

// reset closes the connection with a TCP reset. If a compressed body is cut off without a reset, some
// browsers (Firefox 153) keep the beginning as if it were complete.
func (d *downloadWriter) reset() {
	hijacked, _, err := http.NewResponseController(d.ResponseWriter).Hijack()
	if err != nil {
		return // this is HTTP/2, where http.ErrAbortHandler resets the stream
	}
	connection.Reset(hijacked)
}

// refuse answers with a problem instead of the file. Call it only while no byte of the file has been
// written.
func (d *downloadWriter) refuse(p *Problem) {
	for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Last-Modified", "Repr-Digest"} {
		d.Header().Del(name)
	}
	writeProblem(d.ResponseWriter, p)
}

// finish writes the header if no body was written.
func (d *downloadWriter) finish() {
	if d.status == http.StatusNotModified {
		d.Header().Del("Content-Disposition")
		d.Header().Del("Repr-Digest")
	}
	if !d.begun {
		d.ResponseWriter.WriteHeader(d.status)
	}
}
