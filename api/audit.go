package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"memexport/internal/service/audit"
)

// record writes an audit event for what the caller does: first to the log of the process, and then to the
// audit table, if there is one. It writes the event even if the client has gone away.
func (s *service) record(ctx context.Context, action audit.Action) error {
	info := infoOf(ctx)
	s.log.InfoContext(ctx, "audit", append(info.attrs(), "action", action, "address", info.address)...)
	if s.audit == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return s.audit.Record(bounded, audit.Event{
		Action: action, WorkspaceID: info.workspaceID, KeyID: info.keyID, ExportID: info.exportID,
		Address: info.address, RequestID: info.id,
	})
}

// recordDone records an action that has already happened. If the event cannot be stored in the table,
// recordDone only logs the error and the request succeeds: the log of the process has the event, and no
// memory has left the service.
func (s *service) recordDone(ctx context.Context, action audit.Action) {
	if err := s.record(ctx, action); err != nil {
		s.log.ErrorContext(ctx, "an audit event is only in this log", append(infoOf(ctx).attrs(), "action", action, "error", err)...)
	}
}

// recordRead records that the caller read an export or the list of exports. Because clients poll every
// second, each process records the same read only once in each hour of the clock.
func (s *service) recordRead(ctx context.Context, action audit.Action) {
	info := infoOf(ctx)
	if s.reads.first(info.workspaceID+" "+info.keyID+" "+info.exportID, time.Now()) {
		s.recordDone(ctx, action)
	}
}

// recordDownload records a download. If it returns a problem, the download must not begin, so that no file
// leaves the service without an event. A HEAD request sends no byte of the file, so it is recorded as a
// read.
func (s *service) recordDownload(ctx context.Context, method string) *Problem {
	if method == http.MethodHead {
		s.recordRead(ctx, audit.Read)
		return nil
	}
	if err := s.record(ctx, audit.Download); err != nil {
		return s.problem(ctx, err)
	}
	return nil
}

// reads remembers the reads of the current hour. The zero value is ready to use.
type reads struct {
	mu   sync.Mutex
	hour time.Time
	seen map[string]struct{}
}

// maxReads limits how many reads are remembered, which bounds their memory to about 20 MB. When the limit
// is reached, all reads are forgotten, so some may be recorded a second time within the hour.
const maxReads = 100_000

// first reports whether this read has not been seen before in the clock hour that contains now.
func (r *reads) first(read string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hour := now.Truncate(time.Hour); hour != r.hour || len(r.seen) >= maxReads {
		r.hour, r.seen = hour, map[string]struct{}{}
	}
	if _, known := r.seen[read]; known {
		return false
	}
	r.seen[read] = struct{}{}
	return true
}
