//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/apikey"
	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/devstack"
)

// dev is the running development stack.
type dev struct {
	flags    devFlags
	out      io.Writer
	log      *slog.Logger
	config   config.Config
	temporal client.Options
	uiURL    string
	apiKey   string
	closers  []func() error // close calls these functions in reverse order
	died     chan error     // receives an error when a child ends without being stopped
}

func (d *dev) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// close stops everything that was started, in reverse order.
func (d *dev) close() error {
	var problems []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		problems = append(problems, d.closers[i]())
	}
	return errors.Join(problems...)
}

// startChildren starts Postgres and Temporal at the same time and loads the configuration. It does
// not start a server if the environment already contains the address of one.
func (d *dev) startChildren(ctx context.Context) (err error) {
	environment := environ()
	if d.temporal, err = config.Temporal(); err != nil {
		return err
	}
	var database *devstack.Postgres
	var temporal *devstack.Temporal
	group, groupCtx := errgroup.WithContext(ctx)
	if environment["DATABASE_URL"] == "" {
		group.Go(func() (err error) {
			database, err = devstack.StartPostgres(groupCtx, devstack.PostgresOptions{Dir: d.flags.dir, Port: d.flags.postgresPort, Log: d.say})
			return err
		})
	}
	if environment["TEMPORAL_ADDRESS"] == "" {
		group.Go(func() (err error) {
			temporal, err = devstack.StartTemporal(groupCtx, devstack.TemporalOptions{Dir: d.flags.dir, Port: d.flags.temporalPort,
				UIPort: d.flags.uiPort, Log: d.say})
			return err
		})
	}
	err = group.Wait()
	if database != nil {
		environment["DATABASE_URL"] = database.URL
		d.watch(database)
	}
	if temporal != nil {
		d.temporal.HostPort, d.uiURL = temporal.Address, temporal.UIURL
		d.watch(temporal)
	}
	if err != nil {
		return err
	}
	if environment["BUCKET_URL"] == "" {
		environment["BUCKET_URL"] = "file://" + filepath.ToSlash(filepath.Join(d.flags.dir, "bucket"))
	}
	for name, value := range map[string]string{"RECONCILE_EVERY": "10s", "STOP_DELAY": "0s"} {
		if environment[name] == "" {
			environment[name] = value
		}
	}
	d.config, err = config.LoadFrom(environment, config.Database, config.Bucket)
	return err
}

// child is a server that runs as a child process.
type child interface {
	Done() <-chan struct{}
	Err() error
	Stop() error
}

// watch makes close stop c. If c ends before that, watch sends the reason to died.
func (d *dev) watch(c child) {
	stopping := make(chan struct{})
	d.closers = append(d.closers, func() error {
		close(stopping)
		return c.Stop()
	})
	go func() {
		select {
		case <-c.Done():
			select {
			case <-stopping:
			default:
				d.died <- c.Err()
			}
		case <-stopping:
		}
	}()
}

// prepare migrates the database, fills the demo workspace and creates an API key for it.
func (d *dev) prepare(ctx context.Context) error {
	db, err := openDatabase(ctx, "DATABASE_URL", d.config.DatabaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := postgres.MigrateWith(ctx, db, postgres.MigrateOptions{Tell: func(line string) { d.say("%s", line) }}); err != nil {
		return err
	}
	memories, err := openDatabase(ctx, "MEMORIES_DATABASE_URL (or DATABASE_URL)", d.config.MemoriesDatabaseURL, postgres.Options{MaxConns: 4})
	if err != nil {
		return err
	}
	defer memories.Close()
	switch err := demo.CreateTable(ctx, memories); {
	case errors.Is(err, demo.ErrForeignTable):
		d.say("%v", err)
	case err != nil:
		return err
	default:
		began := time.Now()
		added, err := demo.Fill(ctx, memories, demo.WorkspaceID, d.flags.memories)
		if err != nil {
			return err
		}
		if added > 0 {
			d.say("created %d demo memories in %s", added, time.Since(began).Round(time.Millisecond))
		}
	}
	if d.apiKey, err = d.key(ctx, apikey.NewStore(db)); err != nil {
		return err
	}
	return d.write("database-url", d.config.DatabaseURL)
}

// key returns the API key of the last run if that key is still valid, and otherwise a new one.
func (d *dev) key(ctx context.Context, keys *apikey.Store) (string, error) {
	if line, err := os.ReadFile(filepath.Join(d.flags.dir, "api-key")); err == nil {
		secret := strings.TrimSpace(string(line))
		if _, err := keys.Lookup(ctx, secret); !errors.Is(err, apikey.ErrUnknown) {
			return secret, err
		}
	}
	minted, _, err := keys.Create(ctx, demo.WorkspaceID, "memexport dev", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		return "", err
	}
	return minted, d.write("api-key", minted)
}

// write writes a line to a file in the state directory, where scripts can read it.
func (d *dev) write(name, line string) error {
	return os.WriteFile(filepath.Join(d.flags.dir, name), []byte(line+"\n"), 0o600)
}
