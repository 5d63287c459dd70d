package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"memexport/internal/export"
)

// preferredWait reads the preference wait=N of a Prefer header (RFC 7240), at most MaxWait. The
// first one counts; what cannot be understood is ignored, as the RFC demands.
func preferredWait(prefer string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";") // parameters, of which wait has none
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false
		}
		return min(time.Duration(seconds)*time.Second, MaxWait), true
	}
	return 0, false
}

// The intervals at which a waiting request looks at the row: short at first, since most exports are
// done in no time, then longer, since those that are not may take minutes.
const (
	firstInterval = 25 * time.Millisecond
	lastInterval  = 500 * time.Millisecond
)

// await returns the export when it is terminal, when wait is over, or when ctx ends.
func (s *server) await(ctx context.Context, e export.Export, wait time.Duration) (export.Export, error) {
	over := time.After(wait)
	for interval := firstInterval; !e.Status.Terminal(); interval = min(interval*3/2, lastInterval) {
		select {
		case <-ctx.Done(): // the client went away, or the server shuts down and owes it an answer
			return e, nil
		case <-over:
			return e, nil
		case <-time.After(interval):
		}
		latest, err := s.find(ctx, e.ID)
		if err != nil && ctx.Err() != nil {
			return e, nil
		}
		if err != nil {
			return e, err
		}
		e = latest
	}
	return e, nil
}
