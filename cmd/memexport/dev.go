//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/apikey"
	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
	"memexport/internal/service/telemetry"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/devstack"
	"memexport/workflows"
)

// devFlags are the flags of `memexport dev`.
type devFlags struct {
	dir          string
	http         string
	postgresPort int
	temporalPort int
	uiPort       int
	memories     int
}

// temporalHelp tells where the Temporal dev server comes from.
const temporalHelp = "The Temporal dev server is the temporal on PATH if it has server 1.31 or newer, or else the one in the cache.\n" +
	"The first time, the official Temporal CLI is downloaded from its releases on GitHub and its SHA-256 verified.\n" +
	"MEMEXPORT_TEMPORAL_ARCHIVES=URL names a mirror of https://github.com/temporalio/cli/releases/download.\n" +
	"Where it cannot be downloaded, it is built from source, which takes about 5 minutes on 2 cores."

func devCommand() *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, with demo memories and a first export",
		Long: "Starts Postgres and a Temporal dev server as child processes, creates demo memories and an API key,\n" +
			"runs API and worker, performs an export of each format, and serves until Ctrl-C. The state stays in --dir.\n" +
			"DATABASE_URL, TEMPORAL_ADDRESS and BUCKET_URL, when set, are used in place of the embedded part.\n\n" +
			temporalHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), f, cmd.OutOrStdout()) },
	}
	c.Flags().StringVar(&f.dir, "dir", ".dev", "where the state is kept")
	c.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "what the API listens on; port 0 takes a free one")
	c.Flags().IntVar(&f.postgresPort, "postgres-port", 0, "port of the embedded Postgres; 0 takes a free one")
	c.Flags().IntVar(&f.temporalPort, "temporal-port", 7233, "port of the embedded Temporal; 0 takes a free one")
	c.Flags().IntVar(&f.uiPort, "ui-port", 8233, "port of Temporal's web UI; 0 takes a free one")
	c.Flags().IntVar(&f.memories, "memories", 10_000, "how many memories the demo workspace shall have")
	c.AddCommand(&cobra.Command{
		Use:   "prepare",
		Short: "Only get the Temporal dev server: from PATH, the cache or its releases, or built from source",
		Long:  temporalHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return devstack.Prepare(cmd.Context(), func(format string, args ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) })
		},
	})
	c.AddCommand(cleanCommand())
	return c
}

func cleanCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "clean",
		Short: "Delete the state that memexport dev keeps, including Postgres's data in /var/tmp",
		Long: "Deletes --dir with everything in it. When root runs memexport dev in a directory that Postgres's user cannot\n" +
			"enter, Postgres keeps its data in /var/tmp/memexport-<hash>; that is deleted too. Stop memexport dev first.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return devstack.Clean(dir, func(format string, args ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) })
		},
	}
	c.Flags().StringVar(&dir, "dir", ".dev", "where the state is kept")
	return c
}

// dev is the running development stack.
type dev struct {
	flags    devFlags
	out      io.Writer
	log      *slog.Logger
	config   config.Config
	temporal client.Options
	uiURL    string
	apiKey   string
	closers  []func() error // in the order of starting
	died     chan error     // a child that ended on its own
}

func runDev(ctx context.Context, f devFlags, out io.Writer) (err error) {
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	release, err := devstack.Lock(f.dir)
	if err != nil {
		return err
	}
	defer release()
	// Of the last run; scripts that wait for it shall see the address of this one.
	if err := os.Remove(filepath.Join(f.dir, "base-url")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The listener comes first: a port that is taken is found out before anything is started.
	listener, err := net.Listen("tcp", f.http)
	if err != nil {
		return fmt.Errorf("the API cannot listen on %s: %w; choose another address with --http 127.0.0.1:PORT", f.http, err)
	}
	defer listener.Close()
	logFile, err := os.OpenFile(filepath.Join(f.dir, "memexport.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	d := &dev{flags: f, out: out, log: telemetry.NewLogger(logFile, slog.LevelInfo, "text"), died: make(chan error, 2)}
	defer func() { err = errors.Join(err, d.close()) }()

	if err := d.startChildren(ctx); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	s, err := connect(ctx, d.config, d.temporal, d.log)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func() error { s.close(); return nil })
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.serveAPI(ctx, listener) })
	group.Go(func() error { return s.runWorker(ctx) })
	group.Go(func() error {
		select {
		case err := <-d.died:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error { return d.firstExports(ctx, "http://"+listener.Addr().String()) })
	err = group.Wait()
	d.say("stopping")
	return err
}

func (d *dev) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// close ends what was started, the last first.
func (d *dev) close() error {
	var problems []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		problems = append(problems, d.closers[i]())
	}
	return errors.Join(problems...)
}

// startChildren starts Postgres and Temporal, side by side, unless the environment names others,
// and makes the configuration.
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
				UIPort: d.flags.uiPort, SearchAttributes: searchAttributeTypes(), Log: d.say})
			return err
		})
	}
	err = group.Wait()
	if database != nil {
		environment["DATABASE_URL"] = database.URL
		d.watch("Postgres", database)
	}
	if temporal != nil {
		d.temporal.HostPort, d.uiURL = temporal.Address, temporal.UIURL
		d.watch("Temporal", temporal)
	}
	if err != nil {
		return err
	}
	if environment["BUCKET_URL"] == "" {
		environment["BUCKET_URL"] = "file://" + filepath.ToSlash(filepath.Join(d.flags.dir, "bucket"))
	}
	if environment["RECONCILE_EVERY"] == "" {
		environment["RECONCILE_EVERY"] = "10s"
	}
	d.config, err = config.LoadFrom(environment, config.Database, config.Bucket)
	return err
}

// child is a process that dev has started.
type child interface {
	Done() <-chan struct{}
	Err() error
	Stop() error
}

// watch stops c with dev, and dev when c ends on its own.
func (d *dev) watch(name string, c child) {
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
				d.died <- fmt.Errorf("%s stopped unexpectedly: %w", name, c.Err())
			}
		case <-stopping:
		}
	}()
}

// prepare migrates the database, fills the demo workspace and makes a key for it.
func (d *dev) prepare(ctx context.Context) error {
	db, err := openDatabase(ctx, "DATABASE_URL", d.config.DatabaseURL, 4)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := postgres.Migrate(ctx, db); err != nil {
		return err
	}
	memories, err := openDatabase(ctx, "MEMORIES_DATABASE_URL (or DATABASE_URL)", d.config.MemoriesDatabaseURL, 4)
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

// key returns the key of the last run if it is still valid, or a new one.
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

// write keeps a line in a file of the state directory, for scripts.
func (d *dev) write(name, line string) error {
	return os.WriteFile(filepath.Join(d.flags.dir, name), []byte(line+"\n"), 0o600)
}

// searchAttributeTypes are the search attributes as the Temporal CLI spells their types.
func searchAttributeTypes() map[string]string {
	types := map[string]string{}
	for name, kind := range workflows.SearchAttributes {
		types[name] = kind.String()
	}
	return types
}
