package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"memexport/internal/service/audit"
)

// record appends what the caller does to the audit log: first to the log of the process, and then to
// the table, if there is one. It does so even if the client goes away.
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

// recordDone records what has happened already. If the table cannot take it, the request succeeds all
// the same: the log of the process has the event, and no memory has left the service.
func (s *service) recordDone(ctx context.Context, action audit.Action) {
	if err := s.record(ctx, action); err != nil {
		s.log.ErrorContext(ctx, "an audit event is only in this log", append(infoOf(ctx).attrs(), "action", action, "error", err)...)
	}
}

// recordRead records a read of an export, or of the list, unless this process has recorded the same
// within the hour: clients poll every second.
func (s *service) recordRead(ctx context.Context, action audit.Action) {
	info := infoOf(ctx)
	if s.reads.first(info.workspaceID+" "+info.keyID+" "+info.exportID, time.Now()) {
		s.recordDone(ctx, action)
	}
}

// recordDownload records a download, which must not begin if recordDownload returns a problem: no file
// leaves without an event. A HEAD has no byte of the file, and counts as a read.
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

// maxReads bounds the memory of reads to about 20 MB. When it is reached, everything is forgotten, and
// some reads are recorded a second time.
const maxReads = 100_000

// first reports whether a read is the first of its kind in the hour of now.
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

// peerAddress returns the address of the other end of the connection, without the port.
func peerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
