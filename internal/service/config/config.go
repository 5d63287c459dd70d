// Package config is the configuration of api and worker: environment variables, with defaults,
// every mistake reported at once.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// Config is what api, worker, migrate and keys are configured with. README has the same table.
type Config struct {
	// DatabaseURL is the Postgres database of this service, whose tables are in the schema memexport.
	DatabaseURL string `env:"DATABASE_URL"`
	// MemoriesDatabaseURL is where the memories are: a replica, or another database. Defaults to
	// DatabaseURL.
	MemoriesDatabaseURL string `env:"MEMORIES_DATABASE_URL"`
	// MemoriesTable is the memory service's table or view, with its schema if that is not in the
	// search path.
	MemoriesTable string `env:"MEMORIES_TABLE" envDefault:"memories"`
	// BucketURL is where exports are stored: file:///dir, s3://bucket?region=..., gs://bucket or
	// azblob://container, with the options of gocloud.dev/blob.
	BucketURL string `env:"BUCKET_URL"`

	// HTTPAddr is what the API listens on.
	HTTPAddr string `env:"HTTP_ADDR" envDefault:":8080"`

	// Retention is how long a READY export can be downloaded.
	Retention time.Duration `env:"EXPORT_RETENTION" envDefault:"72h"`
	// Grace is how long the objects of an expired export stay, for downloads that are under way.
	Grace time.Duration `env:"EXPORT_GRACE" envDefault:"1h"`
	// Parallel is how many ranges of one export are written at the same time.
	Parallel int `env:"EXPORT_PARALLEL" envDefault:"2"`

	// Compression is how parts are stored: none, or gzip, which takes a quarter of the space and
	// answers Accept-Encoding: gzip without work, but makes exports slower. docs/performance.md has figures.
	Compression string `env:"EXPORT_COMPRESSION" envDefault:"none"`

	// DownloadMode is how a file comes to who downloads it: proxy, through the API, or redirect, from the
	// store itself at an address that works for some minutes. S3 stores only; files are stored twice.
	DownloadMode string `env:"DOWNLOAD_MODE" envDefault:"proxy"`

	// TaskQueue is the Temporal task queue that api and worker share.
	TaskQueue string `env:"TASK_QUEUE" envDefault:"memexport"`
	// Concurrency is how many activities one worker runs at the same time; each may hold two
	// connections to the memories database.
	Concurrency int `env:"WORKER_CONCURRENCY" envDefault:"8"`
	// StopTimeout is how long a process that is told to stop waits for requests and activities.
	StopTimeout time.Duration `env:"STOP_TIMEOUT" envDefault:"25s"`
	// ReconcileEvery and SweepEvery are the intervals of the two schedules.
	ReconcileEvery time.Duration `env:"RECONCILE_EVERY" envDefault:"1m"`
	SweepEvery     time.Duration `env:"SWEEP_EVERY" envDefault:"1h"`
	// DeploymentName and BuildID turn on Temporal's Worker Versioning when BuildID is set.
	DeploymentName string `env:"WORKER_DEPLOYMENT_NAME" envDefault:"memexport"`
	BuildID        string `env:"WORKER_BUILD_ID"`

	// LogLevel is debug, info, warn or error; LogFormat is json or text.
	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"json"`
}

// Need is something that a command cannot do without.
type Need int

const (
	Database Need = iota
	Bucket
)

// Load reads the environment and checks it. The error names every setting that is wrong, and how to
// set it right.
func Load(needs ...Need) (Config, error) { return load(nil, needs) }

// LoadFrom is Load with an environment of its own, for tests and for the development stack.
func LoadFrom(environment map[string]string, needs ...Need) (Config, error) {
	if environment == nil {
		environment = map[string]string{} // nil would be the process's
	}
	return load(environment, needs)
}

func load(environment map[string]string, needs []Need) (Config, error) {
	var c Config
	options := env.Options{Environment: environment}
	problems := map[string]string{} // by variable
	var all env.AggregateError
	if err := env.ParseWithOptions(&c, options); errors.As(err, &all) {
		for _, err := range all.Errors {
			var parse env.ParseError
			if !errors.As(err, &parse) {
				return Config{}, err
			}
			problems[variable(parse.Name)] = fmt.Sprintf("%v: give %s", parse.Err, hint(parse.Type))
		}
	} else if err != nil {
		return Config{}, err
	}
	c.check(needs, func(name, format string, args ...any) {
		if problems[name] == "" { // else its value is the default, which says nothing
			problems[name] = fmt.Sprintf(format, args...)
		}
	})
	if len(problems) > 0 {
		message := "the environment is not right:"
		for _, name := range slices.Sorted(maps.Keys(problems)) {
			message += "\n  " + name + ": " + problems[name]
		}
		return Config{}, errors.New(message)
	}
	c.MemoriesDatabaseURL = cmp.Or(c.MemoriesDatabaseURL, c.DatabaseURL)
	return c, nil
}

// hint says what a value of a type looks like.
func hint(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 15m or 72h"
	case reflect.TypeFor[slog.Level]():
		return "debug, info, warn or error"
	}
	return "a whole number"
}

// variable is the environment variable of a field of Config.
func variable(field string) string {
	f, _ := reflect.TypeFor[Config]().FieldByName(field)
	return f.Tag.Get("env")
}

// check calls wrong for every setting that cannot be worked with.
func (c *Config) check(needs []Need, wrong func(name, format string, args ...any)) {
	if slices.Contains(needs, Database) && c.DatabaseURL == "" {
		wrong("DATABASE_URL", "is not set: give the Postgres database, such as postgres://user:password@host:5432/name")
	}
	if slices.Contains(needs, Bucket) {
		if c.BucketURL == "" {
			wrong("BUCKET_URL", "is not set: give the bucket, such as file:///var/lib/memexport or s3://bucket?region=eu-west-1")
		} else if u, err := url.Parse(c.BucketURL); err != nil || !slices.Contains([]string{"file", "s3", "gs", "azblob"}, u.Scheme) {
			wrong("BUCKET_URL", "%q is no URL that begins with file://, s3://, gs:// or azblob://", c.BucketURL)
		} else if u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")) {
			wrong("BUCKET_URL", "%q has no absolute path: write file:///dir with three slashes", c.BucketURL)
		} else if c.DownloadMode == "redirect" && u.Scheme != "s3" {
			wrong("DOWNLOAD_MODE", "redirect works with S3 stores only: give a BUCKET_URL that begins with s3://, or set this to proxy")
		}
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); c.HTTPAddr != "" && err != nil {
		wrong("HTTP_ADDR", "%q is no address such as :8080 or 127.0.0.1:8080", c.HTTPAddr)
	}
	for name, d := range map[string]time.Duration{"EXPORT_RETENTION": c.Retention, "RECONCILE_EVERY": c.ReconcileEvery,
		"SWEEP_EVERY": c.SweepEvery, "STOP_TIMEOUT": c.StopTimeout} {
		if d < time.Second {
			wrong(name, "%s is too short: at least 1s", d)
		}
	}
	if c.Grace < 0 {
		wrong("EXPORT_GRACE", "%s is negative", c.Grace)
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		wrong("EXPORT_PARALLEL", "%d is not between 1 and 64", c.Parallel)
	}
	if c.Concurrency < 2 || c.Concurrency > 1000 {
		wrong("WORKER_CONCURRENCY", "%d is not between 2 and 1000", c.Concurrency)
	}
	if c.Compression != "none" && c.Compression != "gzip" {
		wrong("EXPORT_COMPRESSION", "%q is neither none nor gzip", c.Compression)
	}
	switch {
	case c.DownloadMode == "proxy":
	case c.DownloadMode != "redirect":
		wrong("DOWNLOAD_MODE", "%q is neither proxy nor redirect", c.DownloadMode)
	case c.Compression == "gzip":
		wrong("DOWNLOAD_MODE", "redirect is for files that are stored as they are: set EXPORT_COMPRESSION to none, or this to proxy")
	}
	if c.TaskQueue == "" {
		wrong("TASK_QUEUE", "is empty")
	}
	if c.LogFormat != "json" && c.LogFormat != "text" {
		wrong("LOG_FORMAT", "%q is neither json nor text", c.LogFormat)
	}
}

// Temporal reads the connection to Temporal, as every Temporal tool does: TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS..., TEMPORAL_PROFILE.
func Temporal() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("the environment's TEMPORAL_ variables or configuration file are not right: %w", err)
	}
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	return options, nil
}
