package process

import (
	"os"
	"slices"
	"strings"
)

// settings are the prefixes of the variables that configure memexport, its libraries and the Go
// runtime. A test compares them with the fields of config.Config.
var settings = []string{
	"DATABASE_URL=", "MEMORIES_", "BUCKET_URL=", "DOWNLOAD_MODE=", "HTTP_ADDR=", "ADMIN_ADDR=", "API_", "AUTH_", "OIDC_", "TRUSTED_PROXIES=",
	"EXPORT_", "AUDIT_RETENTION=", "DOCS_URL=", "TASK_QUEUE=", "WORKER_", "STOP_TIMEOUT=", "STOP_DELAY=",
	"MEMEXPORT_", "RECONCILE_EVERY=", "SWEEP_EVERY=", "LOG_", "TEMPORAL_", "OTEL_", "PG", "GOGC=", "GOMEMLIMIT=",
}

// CleanEnviron returns the environment of this process without the variables in settings.
func CleanEnviron() []string { return EnvironWithout(settings...) }

// EnvironWithout returns the environment of this process without the variables that begin with one
// of the prefixes. A prefix that ends with "=" matches exactly one variable.
func EnvironWithout(prefixes ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
	})
}
