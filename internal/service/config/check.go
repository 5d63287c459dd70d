package config

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// check calls wrong for every setting that has an unusable value, with a message that says how to
// correct it.
func (c *Config) check(needs []Need, wrong func(name, format string, args ...any)) {
	if slices.Contains(needs, Database) && c.DatabaseURL == "" {
		wrong("DATABASE_URL", "is not set: set it to the Postgres database, such as postgres://user:password@host:5432/name")
	}
	if slices.Contains(needs, Bucket) {
		c.checkBucket(wrong)
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
		wrong("HTTP_ADDR", "%q is not an address: set it to host:port, such as :8080 or 127.0.0.1:8080", c.HTTPAddr)
	}
	for name, d := range map[string]time.Duration{"EXPORT_RETENTION": c.Retention, "RECONCILE_EVERY": c.ReconcileEvery,
		"SWEEP_EVERY": c.SweepEvery, "STOP_TIMEOUT": c.StopTimeout} {
		if d < time.Second {
			wrong(name, "%s is too short: set it to at least 1s", d)
		}
	}
	for name, d := range map[string]time.Duration{"EXPORT_GRACE": c.Grace, "EXPORT_HISTORY": c.History, "AUDIT_RETENTION": c.AuditRetention} {
		if d < 0 {
			wrong(name, "%s is negative: set it to 0s or longer", d)
		}
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		wrong("EXPORT_PARALLEL", "%d is out of range: set it to a number between 1 and 64", c.Parallel)
	}
	for name, n := range map[string]int{"EXPORT_WORKSPACE_RUNNING": c.WorkspaceRunning, "EXPORT_WORKSPACE_UNFINISHED": c.WorkspaceUnfinished,
		"API_CONNECTIONS": c.Connections, "API_CONNECTIONS_PER_ADDRESS": c.ConnectionsPerAddress, "API_REQUESTS_PER_SECOND": c.RequestsPerSecond,
		"API_LONG_POLLS": c.LongPolls, "API_LONG_POLLS_PER_KEY": c.LongPollsPerKey,
		"API_DOWNLOADS": c.Downloads, "API_DOWNLOADS_PER_KEY": c.DownloadsPerKey} {
		if n < 0 {
			wrong(name, "%d is negative: set it to a number above 0, or to 0 for no limit", n)
		}
	}
	if c.Concurrency < 2 || c.Concurrency > 1000 {
		wrong("WORKER_CONCURRENCY", "%d is out of range: set it to a number between 2 and 1000", c.Concurrency)
	}
	if c.Compression != "none" && c.Compression != "gzip" {
		wrong("EXPORT_COMPRESSION", "%q is unknown: set it to none or gzip", c.Compression)
	}
	switch {
	case c.DownloadMode == "proxy":
	case c.DownloadMode != "redirect":
		wrong("DOWNLOAD_MODE", "%q is unknown: set it to proxy or redirect", c.DownloadMode)
	case c.Compression == "gzip":
		wrong("DOWNLOAD_MODE", "redirect needs uncompressed files: set EXPORT_COMPRESSION to none, or DOWNLOAD_MODE to proxy")
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		wrong("LOG_FORMAT", "%q is unknown: set it to json or text", c.LogFormat)
	}
}

// checkBucket checks the form of BUCKET_URL, and DOWNLOAD_MODE as far as it depends on the store.
func (c *Config) checkBucket(wrong func(name, format string, args ...any)) {
	if c.BucketURL == "" {
		wrong("BUCKET_URL", "is not set: set it to the bucket, such as file:///var/lib/memexport or s3://bucket?region=eu-west-1")
		return
	}
	u, err := url.Parse(c.BucketURL)
	switch {
	case err != nil || !slices.Contains([]string{"file", "s3", "gs", "azblob"}, u.Scheme):
		wrong("BUCKET_URL", "%q is not a bucket: set it to a URL that begins with file://, s3://, gs:// or azblob://", c.BucketURL)
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		wrong("BUCKET_URL", "%q has no absolute path: set it to file:///directory, with three slashes", c.BucketURL)
	case c.DownloadMode == "redirect" && u.Scheme != "s3":
		wrong("DOWNLOAD_MODE", "redirect needs an S3 store: set BUCKET_URL to one that begins with s3://, or DOWNLOAD_MODE to proxy")
	}
}
