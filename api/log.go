package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

const requestIDHeader = "X-Request-Id"

type requestKey struct{}

// request is what is learnt about a request on its way. Ids only: this is what the log shows.
type request struct {
	id        string
	workspace string
	export    string
}

func requestOf(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }

func (r *request) attrs() []any {
	attrs := []any{"request_id", r.id}
	if r.workspace != "" {
		attrs = append(attrs, "workspace_id", r.workspace)
	}
	if r.export != "" {
		attrs = append(attrs, "export_id", r.export)
	}
	return attrs
}

// observe is the outermost handler: it gives every request an id, logs it when it is done, and
// answers for a handler that panics.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &request{id: requestID(r)}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, info))
		recorder := &recorder{ResponseWriter: w}
		setCommonHeaders(w.Header(), info.id)
		if len(r.TransferEncoding) > 0 {
			// RFC 9112, section 6.1: after a request with both Transfer-Encoding and Content-Length the
			// connection must be closed. net/http hides the Content-Length of such a request.
			w.Header().Set("Connection", "close")
		}

		defer func() {
			failure := recover()
			if failure != nil && failure != http.ErrAbortHandler {
				s.log.ErrorContext(r.Context(), "a handler panicked", append(info.attrs(), "panic", failure, "stack", string(debug.Stack()))...)
				if recorder.status == 0 {
					writeProblem(recorder, newProblem(codeInternal))
					failure = nil
				}
			}
			s.logAccess(r, info, recorder, time.Since(start), failure != nil)
			if failure != nil {
				panic(http.ErrAbortHandler) // breaks the connection, so that half an answer is not taken for a whole one
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

// setCommonHeaders sets the headers that every answer has.
func setCommonHeaders(h http.Header, requestID string) {
	h.Set(requestIDHeader, requestID)
	h.Set("X-Content-Type-Options", "nosniff")
}

// logAccess tells the route, never the path or query as they were sent: a filter may be personal data.
func (s *server) logAccess(r *http.Request, info *request, recorder *recorder, took time.Duration, aborted bool) {
	level := slog.LevelInfo
	if r.Pattern == "GET /healthz" || r.Pattern == "GET /readyz" {
		level = slog.LevelDebug // every few seconds, from every probe
	}
	attrs := append(info.attrs(), "method", r.Method, "route", r.Pattern, "status", recorder.status,
		"duration", took, "bytes", recorder.bytes)
	if aborted {
		attrs = append(attrs, "aborted", true)
	}
	s.log.Log(r.Context(), level, "request", attrs...)
}

// requestID is the caller's, if it is fit for a log, or a new one.
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

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}
