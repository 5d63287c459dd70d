package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/archive"
	"memexport/internal/export"
	"memexport/internal/format"
)

type downloadInput struct {
	ID string `path:"id"`
}

func (s *server) downloadExport(ctx context.Context, in *downloadInput) (*huma.StreamResponse, error) {
	e, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if p := notDownloadable(e); p != nil {
		return nil, p
	}
	f, file, err := s.open(ctx, e)
	if err != nil {
		return nil, s.openProblem(ctx, e, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		s.serveFile(w, r, e, f, file)
	}}, nil
}

// notDownloadable is why an export has no file to download, or nil.
func notDownloadable(e export.Export) *Problem {
	switch e.Status {
	case export.Ready:
		return nil
	case export.Expired:
		return newProblem(codeExportExpired)
	case export.Failed:
		return newProblem(codeExportFailed)
	}
	return newProblem(codeExportNotReady).with("Retry-After", retryAfter(e))
}

// open returns the file of a READY export. Nothing is read yet.
func (s *server) open(ctx context.Context, e export.Export) (*format.Format, *archive.File, error) {
	f, ok := format.Lookup(e.Format)
	if !ok {
		return nil, nil, fmt.Errorf("the format %q of the export %s is unknown", e.Format, e.ID)
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	recorded, err := s.exports.Parts(bounded, e.ID, -1)
	if err != nil {
		return nil, nil, err
	}
	parts := make([]archive.Part, len(recorded))
	for i, p := range recorded {
		parts[i] = p.Part
	}
	file := s.archive.File(ctx, f, parts)
	if e.SizeBytes == nil || e.SHA256 == nil || e.CompletedAt == nil {
		return nil, nil, fmt.Errorf("the export %s is READY without size, digest or time", e.ID)
	}
	if file.Size() != *e.SizeBytes {
		return nil, nil, fmt.Errorf("the parts of the export %s make %d bytes instead of %d", e.ID, file.Size(), *e.SizeBytes)
	}
	return f, file, nil
}

// openProblem looks at the row once more: an export that has expired or been deleted meanwhile has
// lost its parts for that reason.
func (s *server) openProblem(ctx context.Context, e export.Export, cause error) *Problem {
	now, err := s.find(ctx, e.ID)
	if errors.Is(err, export.ErrNotFound) {
		return newProblem(codeExportNotFound)
	}
	if err == nil {
		if p := notDownloadable(now); p != nil {
			return p
		}
	}
	return s.problem(ctx, cause)
}

// oneRange is the only form of Range that is served; the server is free to ignore any other.
// Several ranges at once would have the file read back and forth.
var oneRange = regexp.MustCompile(`^bytes=([0-9]+-[0-9]*|-0*[1-9][0-9]*)$`)

func (s *server) serveFile(w http.ResponseWriter, r *http.Request, e export.Export, f *format.Format, file *archive.File) {
	defer file.Close() //nolint:errcheck // only read from
	digest, err := hex.DecodeString(*e.SHA256)
	if err != nil {
		writeProblem(w, s.problem(r.Context(), fmt.Errorf("the digest of the export %s: %w", e.ID, err)))
		return
	}
	if !oneRange.MatchString(r.Header.Get("Range")) {
		r.Header.Del("Range")
	}
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="memories-%s-%s.%s"`, e.CompletedAt.Format("20060102"), e.ID, f.Extension))
	h.Set("ETag", `"`+*e.SHA256+`"`)
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
	h.Set("Cache-Control", "private, no-transform")
	h.Set("Content-Security-Policy", "sandbox") // should a browser ever show it, its content can do nothing

	content := &content{file: file}
	transfer := &transfer{ResponseWriter: w, controller: http.NewResponseController(w)}
	http.ServeContent(transfer, r, "", *e.CompletedAt, content)

	switch {
	case content.err != nil && transfer.begun:
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "a download broke off", append(requestOf(r.Context()).attrs(), "error", content.err)...)
		}
		panic(http.ErrAbortHandler) // the client must see a broken transfer, not a short file
	case content.err != nil:
		transfer.refuse(s.openProblem(r.Context(), e, content.err))
	case transfer.status == http.StatusPreconditionFailed:
		transfer.refuse(newProblem(codePreconditionFailed))
	case transfer.status == http.StatusRequestedRangeNotSatisfiable:
		transfer.refuse(newProblem(codeRangeNotSatisfiable).with("Content-Range", fmt.Sprintf("bytes */%d", file.Size())))
	default:
		transfer.finish()
	}
}

// content is the file for http.ServeContent, which swallows read errors: they are kept here.
type content struct {
	file *archive.File
	err  error
}

func (c *content) Seek(offset int64, whence int) (int64, error) { return c.file.Seek(offset, whence) }

// Read fills p, so that the first read reaches past the format's prefix into the first part.
func (c *content) Read(p []byte) (int, error) {
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

// transfer is the ResponseWriter of a download. It holds the header back until there are bytes to
// send, so that a file which cannot be read is still an error and not a broken 200, and it moves
// the write deadline along, so that long downloads pass and stalled clients are cut.
type transfer struct {
	http.ResponseWriter
	controller *http.ResponseController
	status     int
	begun      bool
	extended   time.Time
}

func (t *transfer) WriteHeader(status int) { t.status = status }

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

// refuse answers with a problem in place of the file.
func (t *transfer) refuse(p *Problem) {
	for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "Etag", "Last-Modified", "Repr-Digest"} {
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
