// Package telemetry configures how the processes report what they do.
package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w: key=value pairs if format is "text", otherwise one JSON
// object per line.
func NewLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
