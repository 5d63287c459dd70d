package api

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
)

// maxRanges is how many ranges of the file one request may ask for. Each range opens an object in the
// store.
const maxRanges = 16

// byteRanges matches the values of the Range header that this server serves. A server may ignore other
// values (RFC 9110, section 14.2).
var byteRanges = regexp.MustCompile(`^bytes=[ \t]*(([0-9]+-[0-9]*|-0*[1-9][0-9]*)[ \t]*(,[ \t]*|$))+$`)

// hugeEnd matches the last position of a range, or the length of a suffix, that may be too large for an int64.
var hugeEnd = regexp.MustCompile(`-0*[1-9][0-9]{18,}`)

// tidyRange removes a Range header that byteRanges does not match, so that the answer is the whole file. The same
// holds for HEAD, because RFC 9110, section 14.2, defines Range only for GET. In other Range headers it lowers ends
// that net/http cannot parse. They lie behind the end of the file, and section 14.1.2 allows that.
func tidyRange(method string, h http.Header) {
	value := h.Get("Range")
	if method != http.MethodGet || !byteRanges.MatchString(value) || strings.Count(value, "-") > maxRanges {
		h.Del("Range")
		return
	}
	h.Set("Range", hugeEnd.ReplaceAllString(value, "-999999999999999999"))
}

// wantsGzip reports whether to send the file compressed. gzipTag is the ETag of the compressed file. The
// answer to a Range request is not compressed, because browsers and download managers save the
// uncompressed file, and resume after the last byte that they have saved. The exception is a request
// whose If-Range is gzipTag: its client has saved the beginning of the compressed file.
func wantsGzip(h http.Header, gzipTag string) bool {
	if h.Get("Range") != "" && h.Get("If-Range") != gzipTag {
		return false
	}
	return acceptsGzip(h)
}

// serveFile answers with a file, or with the part of the file that the request asks for. If the file
// cannot be read to its end, serveFile panics with http.ErrAbortHandler, so that the client sees a broken
// transfer and not a short file.
func (s *service) serveFile(w http.ResponseWriter, r *http.Request, e export.Export, o openFile) {
	f, file := o.format, o.plain
	digest, err := hex.DecodeString(*e.SHA256)
	if err != nil {
		writeProblem(w, s.problem(r.Context(), fmt.Errorf("the digest of the export %s: %w", e.ID, err)))
		return
	}
	tidyRange(r.Method, r.Header)
	h := w.Header()
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", filename(e, f)))
	h.Set("ETag", `"`+*e.SHA256+`"`)
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
	h.Add("Vary", "Accept-Encoding")
	if gzipTag := `"` + *e.SHA256 + `-gzip"`; o.gzip != nil && wantsGzip(r.Header, gzipTag) {
		file = o.gzip
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", gzipTag)
		h.Del("Repr-Digest") // the digest covers the uncompressed file
	}
	h.Set("Cache-Control", "private, no-transform")
	h.Set("Content-Security-Policy", "sandbox") // no script in the file runs if a browser shows it
	// Turn off buffering in nginx. Otherwise nginx reads faster than the client until its buffer is full,
	// and then stops reading. It may stop for so long that this server ends the connection.
	h.Set("X-Accel-Buffering", "no")

	reader := &downloadReader{file: file}
	writer := &downloadWriter{ResponseWriter: w, size: file.Size(),
		count: func(bytes int64) { metrics.BytesDownloaded.Add(r.Context(), bytes, f.Name) }}
	http.ServeContent(writer, r, "", *e.CompletedAt, reader)

	err = reader.close()
	writer.countRest()
	if writer.begun && r.Method == http.MethodGet {
		outcome := metrics.DownloadSent
		if err != nil || writer.broken {
			outcome = metrics.DownloadBroken
		} else if writer.status == http.StatusOK {
			metrics.MemoriesDownloaded.Add(r.Context(), e.MemoryCount, f.Name)
		}
		metrics.Downloads.Add(r.Context(), 1, outcome, f.Name)
	}
	switch {
	case err != nil && writer.begun:
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "a download broke off", append(infoOf(r.Context()).attrs(), "error", err)...)
		}
		if file == o.gzip {
			writer.reset()
		}
		panic(http.ErrAbortHandler)
	case err != nil:
		writer.refuse(s.unreadable(r.Context(), e, err))
	case writer.status == http.StatusPreconditionFailed:
		writer.refuse(newProblem(codePreconditionFailed))
	case writer.status == http.StatusRequestedRangeNotSatisfiable:
		writer.refuse(newProblem(codeRangeNotSatisfiable).with("Content-Range", fmt.Sprintf("bytes */%d", file.Size())))
	default:
		writer.finish()
	}
}
