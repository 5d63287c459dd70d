package config

import (
	"fmt"
	"net"
	"net/netip"
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
	if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil && c.AdminAddr != "off" {
		wrong("ADMIN_ADDR", "%q is not an address: set it to host:port, such as :9090 or 127.0.0.1:9090, or to off", c.AdminAddr)
	}
	if c.AuthFailures < 0 {
		wrong("AUTH_FAILURES_PER_MINUTE", "%d is negative: set it to 0 to turn the limit off, or to a greater number", c.AuthFailures)
	}
	c.checkOIDC(wrong)
	if _, err := c.Proxies(); err != nil {
		wrong("TRUSTED_PROXIES", "%v", err)
	}
	for name, d := range map[string]time.Duration{"EXPORT_RETENTION": c.Retention, "RECONCILE_EVERY": c.ReconcileEvery, "EXPORT_STUCK_AFTER": c.StuckAfter,
		"SWEEP_EVERY": c.SweepEvery, "STOP_TIMEOUT": c.StopTimeout, "MEMORIES_READ_TIMEOUT": c.MemoriesReadTimeout} {
		if d < time.Second {
			wrong(name, "%s is too short: set it to at least 1s", d)
		}
	}
	for name, d := range map[string]time.Duration{"STOP_DELAY": c.StopDelay, "EXPORT_GRACE": c.Grace, "EXPORT_HISTORY": c.History, "AUDIT_RETENTION": c.AuditRetention} {
		if d < 0 {
			wrong(name, "%s is negative: set it to 0s or longer", d)
		}
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		wrong("EXPORT_PARALLEL", "%d is out of range: set it to a number between 1 and 64", c.Parallel)
	}
	for name, n := range map[string]int{"EXPORT_RUNNING": c.Running, "EXPORT_WORKSPACE_RUNNING": c.WorkspaceRunning, "EXPORT_WORKSPACE_UNFINISHED": c.WorkspaceUnfinished,
		"API_CONNECTIONS": c.Connections, "API_CONNECTIONS_PER_ADDRESS": c.ConnectionsPerAddress, "API_REQUESTS_PER_SECOND": c.RequestsPerSecond,
		"API_LONG_POLLS": c.LongPolls, "API_LONG_POLLS_PER_KEY": c.LongPollsPerKey,
		"API_DOWNLOADS": c.Downloads, "API_DOWNLOADS_PER_KEY": c.DownloadsPerKey} {
		if n < 0 {
			wrong(name, "%d is negative: set it to a number above 0, or to 0 for no limit", n)
		}
	}
	if u, err := url.Parse(c.DocsURL); c.DocsURL != "" && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http") {
		wrong("DOCS_URL", "is not the address of a page: set it to one such as https://git.example.com/ops/memexport/blob/main/docs, or leave it out")
	}
	if c.CachedWorkflows < 2 || c.CachedWorkflows > 100_000 {
		wrong("WORKER_CACHED_WORKFLOWS", "%d is out of range: set it to a number between 2 and 100000", c.CachedWorkflows)
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
	for name, values := range map[string][3]string{
		"WORKER_DEPLOYMENT_NAME": {c.DeploymentName, "TEMPORAL_DEPLOYMENT_NAME", c.TemporalDeploymentName},
		"WORKER_BUILD_ID":        {c.BuildID, "TEMPORAL_WORKER_BUILD_ID", c.TemporalBuildID},
	} {
		if own, other, temporal := values[0], values[1], values[2]; own != "" && temporal != "" && own != temporal {
			wrong(name, "%q differs from %s, which is %q: unset one of them, or set both alike", own, other, temporal)
		}
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		wrong("LOG_FORMAT", "%q is unknown: set it to json or text", c.LogFormat)
	}
}

// checkBucket checks the form of BUCKET_URL, and whether the store supports DOWNLOAD_MODE.
func (c *Config) checkBucket(wrong func(name, format string, args ...any)) {
	if c.BucketURL == "" {
		wrong("BUCKET_URL", "is not set: set it to the bucket, such as file:///var/lib/memexport or s3://bucket?region=eu-west-1")
		return
	}
	u, err := url.Parse(c.BucketURL)
	switch {
	// The messages do not repeat the value, because it may contain a password.
	case err != nil || !slices.Contains([]string{"file", "s3", "gs", "azblob"}, u.Scheme):
		wrong("BUCKET_URL", "is not a bucket: set it to a URL that begins with file://, s3://, gs:// or azblob://")
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		wrong("BUCKET_URL", "has no absolute path: set it to file:///directory, with three slashes")
	case c.DownloadMode == "redirect" && u.Scheme != "s3":
		wrong("DOWNLOAD_MODE", "redirect needs an S3 store: set BUCKET_URL to one that begins with s3://, or DOWNLOAD_MODE to proxy")
	}
}

// checkOIDC checks the settings for tokens, without a request to the provider.
func (c *Config) checkOIDC(wrong func(name, format string, args ...any)) {
	if c.OIDCIssuer == "" {
		return
	}
	u, err := url.Parse(c.OIDCIssuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		wrong("OIDC_ISSUER", "is not the URL of a provider: set it to one such as https://login.example.com/realms/acme (http:// only on this machine)")
	}
	if c.OIDCAudience == "" {
		wrong("OIDC_AUDIENCE", "is not set: set it to the audience that the provider puts into the tokens for this API")
	}
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Proxies returns the networks in TRUSTED_PROXIES.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	if c.TrustedProxies == "" {
		return nil, nil
	}
	var proxies []netip.Prefix
	for text := range strings.SplitSeq(c.TrustedProxies, ",") {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(text); err == nil {
				network, err = address.WithZone("").Prefix(address.BitLen())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not an address or a network: set it to a list such as 10.0.0.0/8,192.0.2.7,fd00::/8", text)
		}
		if network.Addr().Is4In6() { // it would match no client, because the API writes such addresses as IPv4
			return nil, fmt.Errorf("%q is an IPv4 address in the form of IPv6: write it as IPv4, such as 10.0.0.0/8", text)
		}
		proxies = append(proxies, network)
	}
	return proxies, nil
}
