package config_test

import (
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/config"
)

func TestAnEmptyEnvironmentHasDefaults(t *testing.T) {
	want := config.Config{
		MemoriesTable: "memories", MemoriesReadTimeout: 10 * time.Minute, HTTPAddr: ":8080", AdminAddr: ":9090", AuthFailures: 100, OIDCWorkspaceClaim: "workspace_id", OIDCPermissionsClaim: "scope",
		Retention: 72 * time.Hour, Grace: time.Hour, History: 90 * 24 * time.Hour, AuditRetention: 365 * 24 * time.Hour, Parallel: 2, Compression: "none", DownloadMode: "proxy",
		Connections: 10_000, RequestsPerSecond: 100, LongPolls: 5000, LongPollsPerKey: 500, Downloads: 1000, DownloadsPerKey: 100,
		WorkspaceRunning: 3, WorkspaceUnfinished: 1000, WorkspaceStorage: 100_000_000_000,
		TaskQueue: "memexport", Concurrency: 8, CachedWorkflows: 500, StopTimeout: 25 * time.Second, StopDelay: 5 * time.Second,
		ReconcileEvery: time.Minute, StuckAfter: 15 * time.Minute, SweepEvery: time.Hour, DeploymentName: "memexport",
		LogLevel: slog.LevelInfo, LogFormat: "json",
	}
	t.Setenv("TASK_QUEUE", "of the process") // LoadFrom must ignore the environment of the process
	for _, environment := range []map[string]string{{}, nil} {
		got, err := config.LoadFrom(environment)
		if err != nil || got != want {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
}

// full is an environment in which every variable is set.
var full = map[string]string{
	"DATABASE_URL": "postgres://db", "MEMORIES_DATABASE_URL": "postgres://replica", "MEMORIES_TABLE": "service.memories",
	"BUCKET_URL": "s3://bucket?region=eu-west-1", "HTTP_ADDR": "127.0.0.1:9000", "ADMIN_ADDR": "off",
	"AUTH_FAILURES_PER_MINUTE": "0", "TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7",
	"OIDC_ISSUER": "https://login.example.com/", "OIDC_AUDIENCE": "exports", "OIDC_WORKSPACE_CLAIM": "https://example.com/workspace", "OIDC_PERMISSIONS_CLAIM": "permissions",
	"EXPORT_RETENTION": "90m", "MEMORIES_READ_TIMEOUT": "1h", "EXPORT_GRACE": "0s", "EXPORT_HISTORY": "0s", "AUDIT_RETENTION": "1h", "EXPORT_PARALLEL": "64", "WORKER_CACHED_WORKFLOWS": "2", "DOCS_URL": "https://docs.example.com", "EXPORT_COMPRESSION": "none", "DOWNLOAD_MODE": "redirect",
	"API_CONNECTIONS": "900", "API_CONNECTIONS_PER_ADDRESS": "90", "API_REQUESTS_PER_SECOND": "0", "API_LONG_POLLS": "80", "API_LONG_POLLS_PER_KEY": "8",
	"API_DOWNLOADS": "70", "API_DOWNLOADS_PER_KEY": "6",
	"EXPORT_WORKSPACE_RUNNING": "7", "EXPORT_RUNNING": "70", "EXPORT_WORKSPACE_UNFINISHED": "0", "EXPORT_WORKSPACE_STORAGE": "500MB", "EXPORT_STORAGE": "2TiB",
	"TASK_QUEUE": "queue", "WORKER_CONCURRENCY": "1000", "STOP_TIMEOUT": "1s", "STOP_DELAY": "0s",
	"RECONCILE_EVERY": "5s", "EXPORT_STUCK_AFTER": "2h", "SWEEP_EVERY": "24h", "WORKER_DEPLOYMENT_NAME": "deployment", "WORKER_BUILD_ID": "v1",
	"TEMPORAL_DEPLOYMENT_NAME": "deployment", "TEMPORAL_WORKER_BUILD_ID": "v1",
	"LOG_LEVEL": "debug", "LOG_FORMAT": "text",
}

// fullConfig is what LoadFrom returns for full.
var fullConfig = config.Config{
	DatabaseURL: "postgres://db", MemoriesDatabaseURL: "postgres://replica", MemoriesTable: "service.memories", MemoriesReadTimeout: time.Hour,
	BucketURL: "s3://bucket?region=eu-west-1", HTTPAddr: "127.0.0.1:9000", AdminAddr: "off", TrustedProxies: "10.0.0.0/8, 192.0.2.7",
	OIDCIssuer: "https://login.example.com/", OIDCAudience: "exports", OIDCWorkspaceClaim: "https://example.com/workspace", OIDCPermissionsClaim: "permissions",
	Retention: 90 * time.Minute, AuditRetention: time.Hour, Parallel: 64, Compression: "none", DownloadMode: "redirect",
	Connections: 900, ConnectionsPerAddress: 90, LongPolls: 80, LongPollsPerKey: 8, Downloads: 70, DownloadsPerKey: 6,
	WorkspaceRunning: 7, Running: 70, WorkspaceStorage: 500_000_000, Storage: 2 << 40,
	TaskQueue: "queue", Concurrency: 1000, CachedWorkflows: 2, DocsURL: "https://docs.example.com", StopTimeout: time.Second,
	ReconcileEvery: 5 * time.Second, StuckAfter: 2 * time.Hour, SweepEvery: 24 * time.Hour, DeploymentName: "deployment", BuildID: "v1", TemporalDeploymentName: "deployment", TemporalBuildID: "v1",
	LogLevel: slog.LevelDebug, LogFormat: "text",
}

func TestEverySettingIsRead(t *testing.T) {
	got, err := config.LoadFrom(full, config.Database, config.Bucket)
	if err != nil || got != fullConfig {
		t.Errorf("LoadFrom: %+v, want %+v: %v", got, fullConfig, err)
	}
	for name, value := range full {
		t.Setenv(name, value)
	}
	if got, err = config.Load(config.Database, config.Bucket); err != nil || got != fullConfig {
		t.Errorf("Load: %+v, want %+v: %v", got, fullConfig, err)
	}
}

func TestAnEmptyVariableCountsAsNotSet(t *testing.T) {
	environment := map[string]string{}
	for name := range full {
		environment[name] = ""
	}
	got, err := config.LoadFrom(environment)
	unset, _ := config.LoadFrom(nil)
	if err != nil || got != unset {
		t.Errorf("%+v, want %+v: %v", got, unset, err)
	}
}

func TestTheMemoriesDatabaseDefaultsToTheServicesDatabase(t *testing.T) {
	got, err := config.LoadFrom(map[string]string{"DATABASE_URL": "postgres://db"}, config.Database)
	if err != nil || got.MemoriesDatabaseURL != "postgres://db" {
		t.Errorf("%q, %v", got.MemoriesDatabaseURL, err)
	}
}

// wrong lists unusable values, each with a part of the message that says how to correct it.
var wrong = []struct{ name, value, hint string }{
	{"DATABASE_URL", "", "postgres://user:password@host:5432/name"},
	{"BUCKET_URL", "", "file:///var/lib/memexport"},
	{"BUCKET_URL", "/var/lib", "file://"},
	{"BUCKET_URL", "http://bucket", "s3://"},
	{"BUCKET_URL", "s3", "azblob://"},
	{"BUCKET_URL", "file://dir/x", "three slashes"},
	{"BUCKET_URL", "file:dir", "three slashes"},
	{"BUCKET_URL", "file://", "three slashes"},
	{"BUCKET_URL", "s3://%zz", "s3://"},
	{"HTTP_ADDR", "8080", "127.0.0.1:8080"},
	{"HTTP_ADDR", "::1", "127.0.0.1:8080"},
	{"ADMIN_ADDR", "9090", "127.0.0.1:9090"},
	{"STOP_DELAY", "-1s", "0s or longer"},
	{"AUTH_FAILURES_PER_MINUTE", "-1", "0 to turn the limit off"},
	{"AUTH_FAILURES_PER_MINUTE", "many", "whole number"},
	{"OIDC_AUDIENCE", "", "the audience that the provider puts"},
	{"OIDC_ISSUER", "login.example.com", "https://login.example.com"},
	{"OIDC_ISSUER", "http://login.example.com", "https://login.example.com"},
	{"OIDC_ISSUER", "https://login.example.com?realm=x", "https://login.example.com"},
	{"OIDC_ISSUER", "https://user:password@login.example.com", "https://login.example.com"},
	{"TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"},
	{"TRUSTED_PROXIES", "proxy.example", "10.0.0.0/8"},
	{"TRUSTED_PROXIES", "10.0.0.1,", "10.0.0.0/8"},
	{"TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "write it as IPv4"},
	{"TRUSTED_PROXIES", "192.0.2.1,::ffff:10.0.0.1", "write it as IPv4"},
	{"EXPORT_RETENTION", "72", "72h"},
	{"EXPORT_RETENTION", "three days", "72h"},
	{"EXPORT_RETENTION", "-1h", "at least 1s"},
	{"EXPORT_RETENTION", "999ms", "at least 1s"},
	{"EXPORT_GRACE", "-1ns", "0s or longer"},
	{"EXPORT_GRACE", "1d", "72h"},
	{"EXPORT_HISTORY", "-1h", "0s or longer"},
	{"AUDIT_RETENTION", "-1h", "0s or longer"},
	{"EXPORT_HISTORY", "90", "72h"},
	{"EXPORT_PARALLEL", "0", "between 1 and 64"},
	{"DOCS_URL", "docs.example.com", "address of a page"},
	{"DOCS_URL", "file:///docs", "address of a page"},
	{"DOCS_URL", "https://user:password@docs.example.com", "address of a page"},
	{"WORKER_CACHED_WORKFLOWS", "1", "between 2 and 100000"},
	{"WORKER_CACHED_WORKFLOWS", "100001", "between 2 and 100000"},
	{"EXPORT_PARALLEL", "65", "between 1 and 64"},
	{"EXPORT_PARALLEL", "two", "whole number"},
	{"EXPORT_PARALLEL", "1.5", "whole number"},
	{"EXPORT_COMPRESSION", "zstd", "none or gzip"},
	{"DOWNLOAD_MODE", "both", "proxy or redirect"},
	{"API_CONNECTIONS", "-1", "0 for no limit"},
	{"API_CONNECTIONS_PER_ADDRESS", "-1", "0 for no limit"},
	{"API_REQUESTS_PER_SECOND", "-1", "0 for no limit"},
	{"API_REQUESTS_PER_SECOND", "many", "whole number"},
	{"API_LONG_POLLS", "-1", "0 for no limit"},
	{"API_LONG_POLLS_PER_KEY", "-1", "0 for no limit"},
	{"API_DOWNLOADS", "-1", "0 for no limit"},
	{"API_DOWNLOADS_PER_KEY", "-1", "0 for no limit"},
	{"EXPORT_WORKSPACE_RUNNING", "-1", "0 for no limit"},
	{"EXPORT_WORKSPACE_RUNNING", "few", "whole number"},
	{"EXPORT_WORKSPACE_UNFINISHED", "-1", "0 for no limit"},
	{"EXPORT_WORKSPACE_STORAGE", "big", "100GB"},
	{"EXPORT_WORKSPACE_STORAGE", "-1GB", "100GB"},
	{"EXPORT_WORKSPACE_STORAGE", "1,5TB", "100GB"},
	{"EXPORT_STORAGE", "1PB", "100GB"},
	{"WORKER_CONCURRENCY", "1", "between 2 and 1000"},
	{"WORKER_CONCURRENCY", "1001", "between 2 and 1000"},
	{"WORKER_CONCURRENCY", "99999999999999999999", "whole number"},
	{"STOP_TIMEOUT", "soon", "90s"},
	{"STOP_TIMEOUT", "0s", "at least 1s"},
	{"RECONCILE_EVERY", "0s", "at least 1s"},
	{"MEMORIES_READ_TIMEOUT", "0s", "at least 1s"},
	{"SWEEP_EVERY", "x", "15m"},
	{"SWEEP_EVERY", "1ms", "at least 1s"},
	{"LOG_LEVEL", "loud", "debug, info, warn or error"},
	{"LOG_FORMAT", "xml", "json or text"},
}

func TestEveryWrongSettingIsNamedWithAHint(t *testing.T) {
	for _, w := range wrong {
		environment := maps.Clone(full)
		environment[w.name] = w.value
		_, err := config.LoadFrom(environment, config.Database, config.Bucket)
		if err == nil || !strings.Contains(err.Error(), "\n  "+w.name+": ") || !strings.Contains(err.Error(), w.hint) || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%s=%q: %v", w.name, w.value, err)
		}
	}
}

func TestTheVersionOfAWorkerHasTwoNames(t *testing.T) {
	for _, c := range []struct {
		environment       map[string]string
		deployment, build string
	}{
		{map[string]string{"TEMPORAL_DEPLOYMENT_NAME": "exports/worker", "TEMPORAL_WORKER_BUILD_ID": "v2"}, "exports/worker", "v2"},
		{map[string]string{"WORKER_DEPLOYMENT_NAME": "d", "TEMPORAL_WORKER_BUILD_ID": "v2"}, "d", "v2"},
		{map[string]string{"WORKER_DEPLOYMENT_NAME": "memexport", "TEMPORAL_DEPLOYMENT_NAME": "memexport"}, "memexport", ""},
	} {
		got, err := config.LoadFrom(c.environment)
		if err != nil || got.DeploymentName != c.deployment || got.BuildID != c.build {
			t.Errorf("%v: %q, %q, %v", c.environment, got.DeploymentName, got.BuildID, err)
		}
	}
	_, err := config.LoadFrom(map[string]string{"WORKER_BUILD_ID": "v1", "TEMPORAL_WORKER_BUILD_ID": "v2",
		"WORKER_DEPLOYMENT_NAME": "memexport", "TEMPORAL_DEPLOYMENT_NAME": "exports"})
	for _, text := range []string{`WORKER_BUILD_ID: "v1" differs from TEMPORAL_WORKER_BUILD_ID, which is "v2"`, "unset one of them",
		`WORKER_DEPLOYMENT_NAME: "memexport" differs from TEMPORAL_DEPLOYMENT_NAME, which is "exports"`} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func TestRedirectNeedsAnS3StoreAndUncompressedFiles(t *testing.T) {
	for _, c := range []struct{ name, value, hint string }{
		{"BUCKET_URL", "file:///dir", "s3://"}, {"BUCKET_URL", "gs://bucket", "s3://"}, {"EXPORT_COMPRESSION", "gzip", "EXPORT_COMPRESSION to none"},
	} {
		environment := maps.Clone(full)
		environment[c.name] = c.value
		_, err := config.LoadFrom(environment, config.Database, config.Bucket)
		if err == nil || !strings.Contains(err.Error(), "DOWNLOAD_MODE: redirect") || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
		environment["DOWNLOAD_MODE"] = "proxy"
		if _, err := config.LoadFrom(environment, config.Database, config.Bucket); err != nil {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
}

func TestAllWrongSettingsAreNamedInOneError(t *testing.T) {
	environment := map[string]string{}
	for _, w := range wrong {
		environment[w.name] = w.value // if a name occurs more than once, the last value counts
	}
	_, err := config.LoadFrom(environment, config.Database, config.Bucket)
	if err == nil {
		t.Fatal("no error")
	}
	for name := range environment {
		if strings.Count(err.Error(), "\n  "+name+": ") != 1 {
			t.Errorf("%s is not named once in:\n%v", name, err)
		}
	}
	if got := strings.Count(err.Error(), "\n"); got != len(environment) {
		t.Errorf("%d lines for %d settings:\n%v", got, len(environment), err)
	}
}

func TestOnlyNeededSettingsAreRequired(t *testing.T) {
	for _, c := range []struct {
		environment map[string]string
		needs       []config.Need
		wrong       []string
	}{
		{nil, nil, nil},
		{map[string]string{"BUCKET_URL": "nonsense"}, nil, nil},
		{nil, []config.Need{config.Database}, []string{"DATABASE_URL"}},
		{nil, []config.Need{config.Bucket}, []string{"BUCKET_URL"}},
		{nil, []config.Need{config.Bucket, config.Database}, []string{"BUCKET_URL", "DATABASE_URL"}},
		{map[string]string{"MEMORIES_DATABASE_URL": "postgres://replica"}, []config.Need{config.Database}, []string{"DATABASE_URL"}},
	} {
		_, err := config.LoadFrom(c.environment, c.needs...)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if strings.Count(message, "\n") != len(c.wrong) {
			t.Errorf("%v, %v: %v", c.environment, c.needs, err)
		}
		for _, name := range c.wrong {
			if !strings.Contains(message, "\n  "+name+": is not set") {
				t.Errorf("%v, %v does not name %s: %v", c.environment, c.needs, name, err)
			}
		}
	}
}

func TestASecretInAWrongSettingIsNotRepeated(t *testing.T) {
	for _, bucket := range []string{"file:///bucket", "https://key:hunter2@minio:9000/bucket", "file://key:hunter2@host/bucket", "s3://key:hunter2@%zz"} {
		_, err := config.LoadFrom(map[string]string{"DATABASE_URL": "postgres://user:hunter2@host/db", "BUCKET_URL": bucket, "LOG_FORMAT": "xml"}, config.Database, config.Bucket)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bucket, err)
		}
	}
}

func TestTemporalHasADefaultNamespace(t *testing.T) {
	t.Setenv("TEMPORAL_CONFIG_FILE", t.TempDir()+"/none.toml")
	t.Setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
	t.Setenv("TEMPORAL_NAMESPACE", "")
	got, err := config.Temporal()
	if err != nil || got.Namespace != "default" || got.HostPort != "temporal.example:7233" {
		t.Errorf("%q, %q, %v", got.Namespace, got.HostPort, err)
	}
	t.Setenv("TEMPORAL_NAMESPACE", "exports")
	if got, err = config.Temporal(); err != nil || got.Namespace != "exports" {
		t.Errorf("%q, %v", got.Namespace, err)
	}
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere")
	t.Setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", "/nowhere")
	if _, err = config.Temporal(); err == nil || !strings.Contains(err.Error(), "TEMPORAL_") {
		t.Error(err)
	}
}
