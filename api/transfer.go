package api

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"memexport/internal/service/archive"
)

// maxRanges is how many ranges of the file one request may ask for: each opens an object of the store.
const maxRanges = 16

// byteRanges are the forms of Range that are served; the server is free to ignore any other.
var byteRanges = regexp.MustCompile(`^bytes=[ \t]*(([0-9]+-[0-9]*|-0*[1-9][0-9]*)[ \t]*(,[ \t]*|$))+$`)

// dropOddRange removes a Range that is not served, so that the whole file is.
func dropOddRange(h http.Header) {
	value := h.Get("Range")
	if !byteRanges.MatchString(value) || strings.Count(value, "-") > maxRanges {
		h.Del("Range")
	}
}

func (s *server) serveFile(w http.ResponseWriter, r *http.Request, o openFile) {
	e, f, file := o.export, o.format, o.plain
	digest, err := hex.DecodeString(*e.SHA256)
	if err != nil {
		writeProblem(w, s.problem(r.Context(), fmt.Errorf("the digest of the export %s: %w", e.ID, err)))
		return
	}
	dropOddRange(r.Header)
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", filename(e, f)))
	h.Set("ETag", `"`+*e.SHA256+`"`)
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
	h.Add("Vary", "Accept-Encoding")
	if gzipTag := `"` + *e.SHA256 + `-gzip"`; o.gzip != nil && prefersGzip(r.Header, gzipTag) {
		file = o.gzip
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", gzipTag)
		h.Del("Repr-Digest") // it would be that of the compressed bytes
	}
	h.Set("Cache-Control", "private, no-transform")
	h.Set("Content-Security-Policy", "sandbox") // should a browser ever show it, its content can do nothing

	content := &content{file: file}
	transfer := &transfer{ResponseWriter: w, controller: http.NewResponseController(w), size: file.Size()}
	http.ServeContent(transfer, r, "", *e.CompletedAt, content)

	switch err := content.close(); {
	case err != nil && transfer.begun:
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "a download broke off", append(requestOf(r.Context()).attrs(), "error", err)...)
		}
		if file == o.gzip {
			transfer.reset()
		}
		panic(http.ErrAbortHandler) // the client must see a broken transfer, not a short file
	case err != nil:
		transfer.refuse(s.openProblem(r.Context(), e, err))
	case transfer.status == http.StatusPreconditionFailed:
		transfer.refuse(newProblem(codePreconditionFailed))
	case transfer.status == http.StatusRequestedRangeNotSatisfiable:
		transfer.refuse(newProblem(codeRangeNotSatisfiable).with("Content-Range", fmt.Sprintf("bytes */%d", file.Size())))
	default:
		transfer.finish()
	}
}

// content is the file for http.ServeContent, which swallows read errors: they are kept here. Several
// ranges are read by a goroutine of ServeContent's that it does not wait for: hence the lock.
type content struct {
	mu     sync.Mutex
	file   *archive.File
	err    error
	closed bool
}

var errClosed = errors.New("the download is over")

func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Seek(offset, whence)
}

// Read fills p, so that the first read reaches past the format's prefix into the first part.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, errClosed
	}
	n, err := io.ReadFull(c.file, p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF) && c.atEnd():
		return n, nil // the end of the file; the next read says so
	}
	c.err = err
	return 0, err
}

func (c *content) atEnd() bool {
	offset, err := c.file.Seek(0, io.SeekCurrent)
	return err == nil && offset == c.file.Size()
}

// close ends the reading and returns what went wrong with it.
func (c *content) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.file.Close() //nolint:errcheck // only read from
	return c.err
}

// transfer is the ResponseWriter of a download. It holds the header back until there are bytes to
// send, so that a file which cannot be read is still an error and not a broken 200, and it moves
// the write deadline along, so that long downloads pass and stalled clients are cut.
type transfer struct {
	http.ResponseWriter
	controller *http.ResponseController
	size       int64 // of the whole file, as it is sent
	status     int
	begun      bool
	extended   time.Time
}

func (t *transfer) WriteHeader(status int) {
	t.status = status
	if status == http.StatusOK { // ServeContent leaves it out where there is a Content-Encoding
		t.Header().Set("Content-Length", strconv.FormatInt(t.size, 10))
	}
}

func (t *transfer) Write(p []byte) (int, error) {
	if t.status >= 400 {
		return len(p), nil // plain text, which gives way to problem details
	}
	if !t.begun {
		t.begun = true
		t.ResponseWriter.WriteHeader(t.status)
	}
	if now := time.Now(); now.Sub(t.extended) > time.Second {
		t.extended = now
		_ = t.controller.SetWriteDeadline(now.Add(stallTimeout)) // not every connection has one
	}
	return t.ResponseWriter.Write(p)
}

// reset ends the connection with an error rather than an end: of a compressed body that ends too
// early some browsers (Firefox 153) keep the beginning as if it were the whole.
func (t *transfer) reset() {
	c, _, err := t.controller.Hijack()
	if err != nil {
		return // HTTP/2, where http.ErrAbortHandler resets the stream
	}
	beneath := c
	for {
		if tcp, ok := beneath.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		wrapped, ok := beneath.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		beneath = wrapped.NetConn()
	}
	c.Close() //nolint:errcheck // nobody is left to be told
}

// refuse answers with a problem in place of the file.
func (t *transfer) refuse(p *Problem) {
	for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Last-Modified", "Repr-Digest"} {
		t.Header().Del(name)
	}
	writeProblem(t.ResponseWriter, p)
}

// finish sends what is left, while there still is a deadline, and then lifts it: it belongs to the
// connection, on which another request may follow.
func (t *transfer) finish() {
	if t.status == http.StatusNotModified {
		t.Header().Del("Content-Disposition")
		t.Header().Del("Repr-Digest")
	}
	if !t.begun {
		t.ResponseWriter.WriteHeader(t.status)
		return
	}
	_ = t.controller.Flush()
	_ = t.controller.SetWriteDeadline(time.Time{})
}
