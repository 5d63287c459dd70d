package telemetry

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// maxKeys is how many different lines the handler remembers, which bounds its memory. The handler does not
// limit the lines beyond these.
const maxKeys = 1000

// Seldom returns a handler that limits how often a warning or error is repeated. It sends a line to h when
// the line first occurs, and then at most once in every interval, with the number of lines that it left out.
// Two lines count as the same if they have the same message, are about the same workflow, activity, export and
// schedule, and have errors that differ in numbers only. Lines below the level WARN are not limited.
func Seldom(h slog.Handler, every time.Duration) slog.Handler {
	return &seldom{Handler: h, seen: &seen{every: every, lines: map[string]*repeated{}}}
}

type seldom struct {
	slog.Handler
	seen *seen
	key  string // the part of a line's key that comes from the logger's attributes
}

// seen remembers the lines that all loggers of one handler have logged.
type seen struct {
	mu    sync.Mutex
	every time.Duration
	lines map[string]*repeated
}

type repeated struct {
	last    time.Time // when the line was last logged
	leftOut int
}

var digits = regexp.MustCompile(`[0-9]+`)

// part returns what an attribute adds to the key of a line.
func part(a slog.Attr) string {
	switch a.Key {
	case "WorkflowID", "ActivityID", "ActivityType", // the SDK's names
		"export_id", "schedule":
		return "\x00" + a.Value.String()
	case "Error", "error":
		return "\x00" + digits.ReplaceAllString(a.Value.String(), "#") // ports and attempts differ each time
	}
	return ""
}

// Handle sends the record to the wrapped handler, or leaves it out.
func (s *seldom) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return s.Handler.Handle(ctx, r)
	}
	var key strings.Builder
	key.WriteString(r.Message + s.key)
	r.Attrs(func(a slog.Attr) bool {
		key.WriteString(part(a))
		return true
	})
	leftOut, pass := s.seen.pass(key.String(), r.Time)
	if !pass {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("lines_left_out", leftOut))
	}
	return s.Handler.Handle(ctx, r)
}

// pass reports whether to log a line, and how many lines with the same key were left out before.
func (s *seen) pass(key string, now time.Time) (leftOut int, pass bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[key]
	if line == nil {
		if len(s.lines) >= maxKeys {
			s.forget(now)
		}
		if len(s.lines) < maxKeys {
			s.lines[key] = &repeated{last: now}
		}
		return 0, true
	}
	if now.Sub(line.last) < s.every {
		line.leftOut++
		return 0, false
	}
	leftOut = line.leftOut
	*line = repeated{last: now}
	return leftOut, true
}

// forget removes the lines that were last logged more than an interval ago: their next repetition is logged
// anyway.
func (s *seen) forget(now time.Time) {
	for key, line := range s.lines {
		if now.Sub(line.last) >= s.every {
			delete(s.lines, key)
		}
	}
}

// WithAttrs returns a handler whose lines have the attributes.
func (s *seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	key := s.key
	for _, a := range attrs {
		key += part(a)
	}
	return &seldom{Handler: s.Handler.WithAttrs(attrs), seen: s.seen, key: key}
}

// WithGroup returns a handler whose later attributes are in a group.
func (s *seldom) WithGroup(name string) slog.Handler {
	return &seldom{Handler: s.Handler.WithGroup(name), seen: s.seen, key: s.key}
}
