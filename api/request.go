package api

import (
	"context"
	"net/http"
)

const requestIDHeader = "X-Request-Id"

type requestKey struct{}

// requestInfo holds the ids that the log shows about a request. It never contains content. Middleware and
// handlers set its fields as they learn them.
type requestInfo struct {
	id          string
	workspaceID string
	keyID       string
	exportID    string
	address     string // the client's IP address; see observe
}

// infoOf returns the requestInfo of the request that ctx belongs to.
func infoOf(ctx context.Context) *requestInfo { return ctx.Value(requestKey{}).(*requestInfo) }

// attrs returns the ids as attributes for slog. It leaves out those that are not known yet.
func (r *requestInfo) attrs() []any {
	attrs := []any{"request_id", r.id}
	if r.workspaceID != "" {
		attrs = append(attrs, "workspace_id", r.workspaceID)
	}
	if r.keyID != "" {
		attrs = append(attrs, "key_id", r.keyID)
	}
	if r.exportID != "" {
		attrs = append(attrs, "export_id", r.exportID)
	}
	return attrs
}

// setCommonHeaders sets the headers that every answer has. id is the id of the request.
func setCommonHeaders(h http.Header, id string) {
	h.Set(requestIDHeader, id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // pages of other sites cannot embed an answer
	h.Set("Referrer-Policy", "no-referrer")              // an export's id does not reach other sites
}
