package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/admin"
	"memexport/internal/service/metrics"
	"memexport/internal/service/postgres"
	"memexport/internal/service/telemetry"
)

// startTelemetry sets up metrics and traces for the given parts. Without an admin server nobody could read
// the metrics, so there are none.
func startTelemetry(ctx context.Context, adminAddress string, log *slog.Logger, parts ...string) (*telemetry.Telemetry, error) {
	o := telemetry.Options{Name: "memexport-" + strings.Join(parts, "-"), Version: version, Metrics: adminAddress != admin.Off, Log: log}
	for _, part := range parts {
		o.Processes = append(o.Processes, metrics.Process(part))
	}
	return telemetry.Start(ctx, o)
}

// stopTelemetry sends the last spans.
func stopTelemetry(t *telemetry.Telemetry, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.Stop(ctx); err != nil {
		log.Warn("the last spans were not sent: check OTEL_EXPORTER_OTLP_ENDPOINT", "error", err)
	}
}

// observePool reports metrics about the connections of db until the returned function is called.
func observePool(db *sqlx.DB, name string, log *slog.Logger) (stop func()) {
	unregister, err := postgres.ObservePool(db, name)
	if err != nil {
		log.Warn("there are no metrics about the connections to Postgres", "pool", name, "error", err)
		return func() {}
	}
	return func() {
		if err := unregister(); err != nil {
			log.Warn("stop measuring the connections to Postgres", "pool", name, "error", err)
		}
	}
}
