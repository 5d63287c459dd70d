package api

import (
	"io"
	"net/http"
	"strconv"
	"sync"

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
	return n, d.wrote(int64(n), err)
}

// copyBuffers holds the buffers of ReadFrom. A buffer is twice as large as one of io.Copy, so that copying needs
// half as many system calls.
var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// ReadFrom sends src. http.ServeContent calls it. If src is the file of an export, the kernel sends the parts
// that are plain files on disk.
func (d *downloadWriter) ReadFrom(src io.Reader) (n int64, err error) {
	buffer := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buffer)
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		return io.CopyBuffer(struct{ io.Writer }{d}, src, buffer[:])
	}
	file, ok := limited.R.(*downloadReader)
	if !ok {
		return d.sendRanges(limited, buffer[:])
	}
	for limited.N > 0 {
		sent, err := d.send(file, min(limited.N, countEvery))
		limited.N -= sent
		if sent == 0 && err == nil {
			sent, err = io.CopyBuffer(struct{ io.Writer }{d}, io.LimitReader(limited, int64(len(buffer))), buffer[:])
		}
		n += sent
		if err != nil || sent == 0 {
			return n, err
		}
	}
	return n, nil
}

// sendRanges sends a response with several ranges. It fills the buffer before it writes the header: the response
// begins with the header of its first range, so the first bytes alone do not show whether the file can be read.
func (d *downloadWriter) sendRanges(src *io.LimitedReader, buffer []byte) (int64, error) {
	first, err := io.ReadFull(src, buffer)
	if err != nil && src.N > 0 { // otherwise the response is shorter than the buffer
		return 0, err
	}
	n, err := d.Write(buffer[:first])
	if err != nil {
		return int64(n), err
	}
	rest, err := io.CopyBuffer(struct{ io.Writer }{d}, src, buffer)
	return int64(n) + rest, err
}

// send sends up to most bytes of a file if the kernel can send them. Otherwise it returns 0 and no error, and the
// caller must copy the bytes. It also returns 0 and no error until the header is written, because the first bytes
// must be read to find out whether the file can be read.
func (d *downloadWriter) send(file *downloadReader, most int64) (int64, error) {
	if !d.begun {
		return 0, nil
	}
	n, err := file.send(d.ResponseWriter, most)
	return n, d.wrote(n, err)
}

// wrote notes the result of a write.
func (d *downloadWriter) wrote(n int64, err error) error {
	d.broken = d.broken || err != nil
	if d.uncounted += n; d.uncounted >= countEvery {
		d.countRest()
	}
	return err
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
