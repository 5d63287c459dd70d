package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"memexport/internal/service/export"
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

// nextLook is when a waiting request looks at the row again: soon at first, since most exports are
// done in no time, later and later for one that takes long, so that an answer is late by a
// twentieth of the export's time at most.
func nextLook(e export.Export) time.Duration {
	return min(max(time.Since(e.CreatedAt)/20, 5*time.Millisecond), 500*time.Millisecond)
}

// await returns the export when it is terminal, when wait is over, or when ctx ends.
func (s *server) await(ctx context.Context, e export.Export, wait time.Duration) (export.Export, error) {
	over := time.After(wait)
	for !e.Status.Terminal() {
		select {
		case <-ctx.Done(): // the client went away, or the server shuts down and owes it an answer
			return e, nil
		case <-over:
			return e, nil
		case <-time.After(nextLook(e)):
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
