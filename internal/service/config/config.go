// Package config reads the configuration of the service from environment variables. The fields of
// Config are the settings; docs/configuration.md is generated from them.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

//go:generate go test -run TestTheDocumentIsCurrent -update

// Config is the configuration of the processes. The tags of a field are the setting's environment
// variable (env), its default (envDefault), the commands that use it (for) and its description in
// docs/configuration.md (doc). The comments add what matters to somebody who changes the code.
type Config struct {
	// DatabaseURL is the only setting that the commands migrate, keys and audit need.
	DatabaseURL string `env:"DATABASE_URL" for:"api, worker, migrate, keys, audit" doc:"The Postgres database of the service. Its tables are in the schema memexport, so it may be shared with other applications. A URL such as postgres://user:password@host:5432/name, with special characters percent-encoded. Required."`

	// MemoriesDatabaseURL is never empty after Load. If the variable is not set, it equals
	// DatabaseURL.
	MemoriesDatabaseURL string `env:"MEMORIES_DATABASE_URL" for:"worker" doc:"The Postgres database that holds the memories. It is only read, so a replica will do; an export then lacks what had not been replicated when it started. Defaults to the value of DATABASE_URL."`

	// MemoriesTable is checked in detail by memory.Source.Check when a worker starts.
	MemoriesTable string `env:"MEMORIES_TABLE" envDefault:"memories" for:"worker" doc:"The table or view that holds the memories: table or schema.table, in the letter case in which Postgres stores it. See adopting.md for tables with other columns."`

	// MemoriesReadTimeout is long, because a filter that matches few of many memories also keeps Postgres
	// silent.
	MemoriesReadTimeout time.Duration `env:"MEMORIES_READ_TIMEOUT" envDefault:"10m" for:"worker" doc:"How long the memories database may send nothing while a worker waits for memories. After that, the worker takes it for hung and tries again over another connection. Raise it if exports with a narrow filter of a very large workspace fail with SOURCE_UNAVAILABLE. At least 1s."`

	// BucketURL is opened by archive.Open.
	BucketURL string `env:"BUCKET_URL" for:"api, worker" doc:"The bucket that stores exports: file:///directory, s3://bucket?region=eu-west-1, gs://bucket or azblob://container. All processes must use the same one. stores.md lists the parameters, the credentials and the permissions. Required."`

	HTTPAddr string `env:"HTTP_ADDR" envDefault:":8080" for:"api" doc:"The address on which the API listens: host:port, or :port for all interfaces. Port 0 takes a free one."`

	AdminAddr string `env:"ADMIN_ADDR" envDefault:":9090" for:"api, worker" doc:"The address for operators: /healthz, /readyz and /metrics. host:port, or :port for all interfaces; port 0 takes a free one; off turns it off. Processes on one machine need different ones. Let no client of the API reach it. See operations.md."`

	AuthFailures int `env:"AUTH_FAILURES_PER_MINUTE" envDefault:"100" for:"api" doc:"How many requests a minute from one address may have a wrong key or token. The next ones are answered with 429 and Retry-After, except those with a key or token that was valid before. 100 leaves room for a misconfigured client beside others. Each process counts for itself. 0 turns the limit off."`

	OIDCIssuer           string `env:"OIDC_ISSUER" for:"api" doc:"Accepts access tokens (JWT) of this OpenID Connect provider as bearer tokens, beside API keys: its URL, exactly as its tokens have it in iss. Its keys are found by discovery. Empty accepts API keys only. See security.md."`
	OIDCAudience         string `env:"OIDC_AUDIENCE" for:"api" doc:"What a token must have in aud: the name of this API at the provider. Required with OIDC_ISSUER."`
	OIDCWorkspaceClaim   string `env:"OIDC_WORKSPACE_CLAIM" envDefault:"workspace_id" for:"api" doc:"The claim of a token that has the UUID of its workspace. The provider must not let users choose it."`
	OIDCPermissionsClaim string `env:"OIDC_PERMISSIONS_CLAIM" envDefault:"scope" for:"api" doc:"The claim of a token that has its permissions, export.read and export.write: text with spaces between them, or an array. Others are ignored."`

	// TrustedProxies is parsed by Proxies.
	TrustedProxies string `env:"TRUSTED_PROXIES" for:"api" doc:"The proxies whose header X-Forwarded-For is believed, as addresses or networks with commas between them, such as 10.0.0.0/8,fd00::/8. The last address in it that is not a trusted proxy is the client. Empty believes nobody: the other end of a connection is the client. Set it if a proxy or load balancer stands before the API, since all clients have its address otherwise."`

	// Connections bounds the open connections, so that the process stays below its limit of open files.
	// Otherwise anyone who opens many connections could keep the process from reaching Postgres and the
	// bucket.
	Connections           int `env:"API_CONNECTIONS" envDefault:"10000" for:"api" doc:"How many connections one process has open at once. Further ones are reset. Keep it below the limit of open files (ulimit -n), and within the memory of the process. 0 sets no limit. See limits.md."`
	ConnectionsPerAddress int `env:"API_CONNECTIONS_PER_ADDRESS" envDefault:"0" for:"api" doc:"How many of them one IPv4 address, or one /64 of IPv6, may have. Set it only if clients connect to the API directly: behind a proxy all connections have the address of the proxy. 0 sets no limit."`

	RequestsPerSecond int `env:"API_REQUESTS_PER_SECOND" envDefault:"100" for:"api" doc:"How many requests each key may make in a second at one process, with bursts of five times as many. More are refused with 429. 0 sets no limit. See limits.md."`

	LongPolls       int `env:"API_LONG_POLLS" envDefault:"5000" for:"api" doc:"How many requests (Prefer: wait=N) may wait for exports at once at one process. More are refused with 503. 0 sets no limit."`
	LongPollsPerKey int `env:"API_LONG_POLLS_PER_KEY" envDefault:"500" for:"api" doc:"How many of them may have the same key. More are refused with 429. 0 sets no limit."`

	Downloads       int `env:"API_DOWNLOADS" envDefault:"1000" for:"api" doc:"How many files one process sends at once, each of which takes about 100 KiB of memory. Exports above 10 GB take more: see limits.md. More are refused with 503. 0 sets no limit."`
	DownloadsPerKey int `env:"API_DOWNLOADS_PER_KEY" envDefault:"100" for:"api" doc:"How many of them may have the same key. Programs that download over several connections need one for each. More are refused with 429. 0 sets no limit."`

	// Retention sets expires_at when an export becomes READY. A later change of the setting does not
	// affect exports that are READY already.
	Retention time.Duration `env:"EXPORT_RETENTION" envDefault:"72h" for:"worker" doc:"How long a READY export can be downloaded. After that the API answers 410. A change applies to exports that become READY later. At least 1s."`

	// Grace must be at least as long as the longest download, because the objects are deleted at the
	// end of the grace period.
	Grace time.Duration `env:"EXPORT_GRACE" envDefault:"1h" for:"worker" doc:"How long the objects of an expired export stay in the bucket, for downloads that are still running. Choose the duration of the slowest download. 0s deletes them at once."`

	// History starts when the objects are deleted. The personal data in the row is erased
	// at the same time.
	History time.Duration `env:"EXPORT_HISTORY" envDefault:"2160h" for:"worker" doc:"How long an export is listed after its objects were deleted; then its row is deleted. The default is 90 days. 0s keeps it. See security.md."`

	AuditRetention time.Duration `env:"AUDIT_RETENTION" envDefault:"8760h" for:"worker" doc:"How long audit events are kept. The default is 365 days. 0s keeps them for good. See security.md."`

	// Parallel is recorded in the plan of an export, so that a retry of its workflow sees the same value.
	Parallel int `env:"EXPORT_PARALLEL" envDefault:"2" for:"worker" doc:"How many ranges of one export are written at the same time, from 1 to 64. More is faster if there are idle CPUs, workers or connections to the database; each range takes an activity (WORKER_CONCURRENCY) and up to two connections."`

	Compression string `env:"EXPORT_COMPRESSION" envDefault:"none" for:"worker" doc:"How parts are stored. none stores them as they are. gzip takes about a quarter of the space and lets the API answer Accept-Encoding: gzip without work, but makes exports slower. Parquet files are never compressed again: they are compressed already. Existing exports stay readable after a change. performance.md has figures."`

	DownloadMode string `env:"DOWNLOAD_MODE" envDefault:"proxy" for:"api, worker" doc:"How clients get a file. proxy sends it through the API. redirect sends clients to the store, at a URL that is valid for 15 minutes at most; this needs an S3 store and EXPORT_COMPRESSION=none, and stores each file a second time. Set it alike for api and worker. See downloads.md."`

	// WorkspaceRunning bounds how many workflows one workspace can start in Temporal. Temporal's
	// fairness cannot do that, because it only orders the tasks of workflows that have already started.
	WorkspaceRunning int `env:"EXPORT_WORKSPACE_RUNNING" envDefault:"3" for:"api, worker" doc:"How many exports of one workspace run at the same time. Later ones wait as PENDING, in the order of their creation. 0 sets no limit. See limits.md."`

	// Running sets no limit by default, because WorkspaceRunning already limits each workspace, and
	// Concurrency limits each worker.
	Running int `env:"EXPORT_RUNNING" envDefault:"0" for:"api, worker" doc:"How many exports of all workspaces together run at the same time, about. Later ones wait as PENDING, and the workspaces take turns. 0 sets no limit. See limits.md."`

	WorkspaceUnfinished int `env:"EXPORT_WORKSPACE_UNFINISHED" envDefault:"1000" for:"api, worker" doc:"How many exports of one workspace may run or wait. More are refused with 429. 0 sets no limit. See limits.md."`

	WorkspaceStorage Bytes `env:"EXPORT_WORKSPACE_STORAGE" envDefault:"100GB" for:"api, worker" doc:"How much one workspace may have in the bucket, such as 500MB, 100GB or 2TiB. A workspace that has as much gets no new exports: they are refused with 429, and waiting ones fail. 0 sets no limit. See limits.md."`

	// Storage has no default, because the size of a bucket is unknown and often unlimited.
	Storage Bytes `env:"EXPORT_STORAGE" envDefault:"0" for:"api, worker" doc:"How much all workspaces together may have in the bucket. Above that, new exports are refused with 503. Set it below the size of a disk or a quota, by as much as the running exports may still write. 0 sets no limit. See limits.md."`

	DocsURL string `env:"DOCS_URL" for:"api, worker" doc:"Where operators find your copy of docs/, such as https://git.example.com/ops/memexport/blob/main/docs. The Temporal UI then links to its pages. Defaults to none: the UI only names the pages."`

	TaskQueue string `env:"TASK_QUEUE" envDefault:"memexport" for:"api, worker" doc:"The Temporal task queue. It must be the same for api and worker."`

	// Concurrency also sets the sizes of the connection pools: see cmd/memexport.
	Concurrency int `env:"WORKER_CONCURRENCY" envDefault:"8" for:"worker" doc:"How many activities one worker runs at the same time, from 2 to 1000. Each may hold two connections to the memories database."`

	// Nearly all workflows are exports that sleep for days, so they must not all stay in memory. Exports that run
	// have room: one that runs loses its place only if this many other workflows get tasks between two tasks of
	// its own. A workflow that has left the memory is replayed from its history when its next task comes.
	CachedWorkflows int `env:"WORKER_CACHED_WORKFLOWS" envDefault:"500" for:"worker" doc:"How many workflows one worker keeps in memory between their tasks, from 2 to 100000. Each takes about 32 KiB. Others are replayed from their history when they get a task, which takes some milliseconds. Raise it if more exports than this run at the same time."`

	// StopTimeout is shorter than the 30 seconds that Kubernetes waits before it kills a process.
	StopTimeout time.Duration `env:"STOP_TIMEOUT" envDefault:"25s" for:"api, worker" doc:"How long a process that was told to stop (SIGTERM) waits for running requests and activities. Interrupted downloads and activities are continued by other processes. Keep it below the time after which the process is killed, which is 30s in Kubernetes. At least 1s."`

	// StopDelay may exceed half of StopTimeout: cmd/memexport then waits for half of StopTimeout. So an
	// operator who shortens StopTimeout need not change StopDelay.
	StopDelay time.Duration `env:"STOP_DELAY" envDefault:"5s" for:"api" doc:"How long an API that was told to stop goes on accepting connections while /readyz says that it is not ready, so that load balancers and Kubernetes send it no new ones. It is part of STOP_TIMEOUT, and at most half of it. 0s stops at once. A worker needs no delay."`

	ReconcileEvery time.Duration `env:"RECONCILE_EVERY" envDefault:"1m" for:"worker" doc:"How often the reconciler looks for exports that make no progress, such as those accepted while Temporal was down. At least 1s."`
	StuckAfter     time.Duration `env:"EXPORT_STUCK_AFTER" envDefault:"15m" for:"worker" doc:"How long an export may stay PENDING or PROCESSING before the reconciler looks for the reason and reports it, if its workflow makes no progress. At least 1s. See temporal-ui.md."`
	SweepEvery     time.Duration `env:"SWEEP_EVERY" envDefault:"1h" for:"worker" doc:"How often the sweeper lists the bucket and deletes objects that no export refers to. At least 1s."`

	// Load takes DeploymentName and BuildID from the TEMPORAL_ variables if the WORKER_ variables are not
	// set. The Worker Controller for Kubernetes sets the TEMPORAL_ variables.
	DeploymentName         string `env:"WORKER_DEPLOYMENT_NAME" for:"worker" doc:"The name of the deployment for Temporal's Worker Versioning. Used only with a build ID. Defaults to the value of TEMPORAL_DEPLOYMENT_NAME, and then to memexport."`
	BuildID                string `env:"WORKER_BUILD_ID" for:"worker" doc:"Turns on Temporal's Worker Versioning, with this build ID. The build gets work only after you have made it the current version. Defaults to the value of TEMPORAL_WORKER_BUILD_ID. Empty turns versioning off."`
	TemporalDeploymentName string `env:"TEMPORAL_DEPLOYMENT_NAME" for:"worker" doc:"The same as WORKER_DEPLOYMENT_NAME, under the name that Temporal's Worker Controller for Kubernetes sets. If both are set, they must be equal."`
	TemporalBuildID        string `env:"TEMPORAL_WORKER_BUILD_ID" for:"worker" doc:"The same as WORKER_BUILD_ID, under the name that Temporal's Worker Controller for Kubernetes sets. If both are set, they must be equal."`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info" for:"api, worker" doc:"The least severe level that is logged: debug, info, warn or error."`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"json" for:"api, worker" doc:"json writes one JSON object per line, text writes key=value pairs. Logs go to standard error."`
}

// Bytes is a number of bytes, which may have a unit such as MB, GiB or TB.
type Bytes int64

// UnmarshalText parses a number of bytes, with or without a unit. It refuses commas, because humanize would
// ignore them and read 1,5TB as 15TB.
func (b *Bytes) UnmarshalText(text []byte) error {
	if bytes.ContainsRune(text, ',') {
		return errors.New("write decimals with a point, and no commas")
	}
	n, err := humanize.ParseBytes(string(text))
	if err == nil && n > maxBytes {
		err = errors.New("too large")
	}
	*b = Bytes(n)
	return err
}

// maxBytes is almost a petabyte. The API sends a limit in the header RateLimit-Policy, and RFC 9651 does not
// allow larger integers in such a header.
const maxBytes = 999_999_999_999_999

// Need is a setting that has no default and that a command cannot run without.
type Need int

// The settings that a command may need.
const (
	Database Need = iota // DATABASE_URL
	Bucket               // BUCKET_URL
)

// Load reads the environment of the process and checks it. The error names every setting that is
// wrong and says how to correct it.
func Load(needs ...Need) (Config, error) { return load(nil, needs) }

// LoadFrom is like Load, but reads the given environment instead of the environment of the process.
func LoadFrom(environment map[string]string, needs ...Need) (Config, error) {
	if environment == nil {
		environment = map[string]string{} // for nil, the env library would read the environment of the process
	}
	return load(environment, needs)
}

func load(environment map[string]string, needs []Need) (Config, error) {
	var c Config
	problems := map[string]string{} // by environment variable
	var all env.AggregateError
	if err := env.ParseWithOptions(&c, env.Options{Environment: environment}); errors.As(err, &all) {
		for _, err := range all.Errors {
			var parse env.ParseError
			if !errors.As(err, &parse) {
				return Config{}, err
			}
			problems[variable(parse.Name)] = fmt.Sprintf("%v: set it to %s", parse.Err, exampleOf(parse.Type))
		}
	} else if err != nil {
		return Config{}, err
	}
	c.check(needs, func(name, format string, args ...any) {
		if problems[name] == "" { // keep the message about a value that could not be parsed
			problems[name] = fmt.Sprintf(format, args...)
		}
	})
	if len(problems) > 0 {
		lines := ""
		for _, name := range slices.Sorted(maps.Keys(problems)) {
			lines += "\n  " + name + ": " + problems[name]
		}
		return Config{}, errors.New("the configuration in the environment is wrong:" + lines)
	}
	c.MemoriesDatabaseURL = cmp.Or(c.MemoriesDatabaseURL, c.DatabaseURL)
	c.DeploymentName = cmp.Or(c.DeploymentName, c.TemporalDeploymentName, "memexport")
	c.BuildID = cmp.Or(c.BuildID, c.TemporalBuildID)
	return c, nil
}

// exampleOf returns an example value of a type, for error messages.
func exampleOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Bytes]():
		return "a number of bytes below 1PB such as 500MB, 100GB or 2TiB"
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 15m or 72h"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	}
	return "a whole number"
}

// variable returns the environment variable of a field of Config.
func variable(field string) string {
	f, _ := reflect.TypeFor[Config]().FieldByName(field)
	return f.Tag.Get("env")
}

// Temporal reads the connection to Temporal in the way that all Temporal tools do: from TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, the TEMPORAL_TLS_ variables, or a profile in Temporal's
// configuration file (TEMPORAL_PROFILE). It does not connect.
func Temporal() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("the TEMPORAL_ variables or Temporal's configuration file are wrong: correct or unset them: %w", err)
	}
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	return options, nil
}
