package api

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// observe is the outermost handler. It gives every request an id, logs the request when it is done, and
// answers with a 500 if a handler panics before it has answered.
func observe(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &requestInfo{id: requestID(r)}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, info))
		r, span := startSpan(r)
		recorder := &responseRecorder{ResponseWriter: w}
		setCommonHeaders(w.Header(), info.id)
		if len(r.TransferEncoding) > 0 {
			// RFC 9112, section 6.1, demands that the connection is closed after a request with both
			// Transfer-Encoding and Content-Length. net/http hides the Content-Length of such a request,
			// so close after every request with a Transfer-Encoding.
			w.Header().Set("Connection", "close")
		}

		defer func() {
			failure := recover()
			if failure != nil && failure != http.ErrAbortHandler {
				log.ErrorContext(r.Context(), "a handler panicked", append(info.attrs(), "panic", failure, "stack", string(debug.Stack()))...)
				if recorder.status == 0 {
					writeProblem(recorder, newProblem(codeInternal))
					failure = nil
				}
			}
			took := time.Since(start)
			endRequest(r, span, info, recorder.status, took)
			// Log the route, never the path or query of the request, because a filter in the query may be
			// personal data.
			attrs := append(info.attrs(), "method", r.Method, "route", r.Pattern, "status", recorder.status,
				"duration", took, "bytes", recorder.bytes)
			if failure != nil {
				attrs = append(attrs, "aborted", true)
			}
			if info.keyID == "" && info.address != "" {
				// Nobody but the client's address tells who sends wrong keys. Other requests have a key id, and
				// their addresses are only in the audit log.
				attrs = append(attrs, "address", info.address)
			}
			log.Log(r.Context(), accessLevel(r.Pattern), "request", attrs...)
			if failure != nil {
				panic(http.ErrAbortHandler) // breaks the connection, so that the client sees an incomplete answer
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

// accessLevel returns the level at which requests to a route are logged.
func accessLevel(pattern string) slog.Level {
	if pattern == "GET /healthz" || pattern == "GET /readyz" {
		return slog.LevelDebug // health probes come every few seconds
	}
	return slog.LevelInfo
}

// requestID returns the id that the caller sent, if the id consists of at most 128 printable ASCII
// characters without spaces. Otherwise requestID returns a new id.
func requestID(r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	if id == "" || len(id) > 128 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return rand.Text()
		}
	}
	return id
}

// responseRecorder notes the status and size of an answer.
type responseRecorder struct {
	http.ResponseWriter
	status int // 0 until the header is written
	bytes  int64
}

// Unwrap lets http.ResponseController reach the wrapped ResponseWriter.
func (r *responseRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *responseRecorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *responseRecorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom answers with the bytes of src. It passes src to the wrapped ResponseWriter, which may let the kernel
// send a file.
func (r *responseRecorder) ReadFrom(src io.Reader) (int64, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}
