//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/telemetry"
	"memexport/internal/workshop/devstack"
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

// temporalHelp explains which Temporal dev server is used.
const temporalHelp = "The Temporal dev server is the temporal on PATH if it has server 1.31 or newer, and otherwise the one in the\n" +
	"user's cache. The first time, the official Temporal CLI is downloaded from its releases on GitHub and its\n" +
	"SHA-256 is verified. MEMEXPORT_TEMPORAL_ARCHIVES=URL names a mirror of\n" +
	"https://github.com/temporalio/cli/releases/download. If the download fails, the CLI is built from source,\n" +
	"which takes about 5 minutes on 2 cores."

func devCommand() *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, with demo memories and a first export",
		Long: "Starts Postgres and a Temporal dev server as child processes, creates demo memories and an API key, runs\n" +
			"the API and a worker, exports the memories in each format, and serves until Ctrl-C. The state is kept in\n" +
			"--dir. If DATABASE_URL or TEMPORAL_ADDRESS is set, that server is used and none is started. If BUCKET_URL is\n" +
			"set, exports go there instead of --dir.\n\n" +
			temporalHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), f, cmd.OutOrStdout()) },
	}
	c.Flags().StringVar(&f.dir, "dir", ".dev", "directory for the state")
	c.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "the address that the API listens on; port 0 picks a free port")
	c.Flags().IntVar(&f.postgresPort, "postgres-port", 0, "port of Postgres; 0 picks a free port")
	c.Flags().IntVar(&f.temporalPort, "temporal-port", 7233, "port of Temporal; 0 picks a free port")
	c.Flags().IntVar(&f.uiPort, "ui-port", 8233, "port of Temporal's web UI; 0 picks a free port")
	c.Flags().IntVar(&f.memories, "memories", 10_000, "number of memories in the demo workspace; an existing workspace only grows")
	c.AddCommand(&cobra.Command{
		Use:   "prepare",
		Short: "Get the Temporal dev server, so that later starts need not wait for it",
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
		Long: "Deletes --dir with everything in it. If root ran memexport dev in a directory that Postgres's user cannot\n" +
			"enter, Postgres keeps its data in /var/tmp/memexport-<hash>. That is deleted too. Stop memexport dev first.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return devstack.Clean(dir, func(format string, args ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) })
		},
	}
	c.Flags().StringVar(&dir, "dir", ".dev", "directory of the state")
	return c
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
	// Scripts wait until these files exist, so delete the files of the last run.
	for _, name := range []string{"base-url", "admin-url"} {
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Listen before starting anything, so that an error such as a port in use is reported at once.
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
	adminAddress := cmp.Or(os.Getenv("ADMIN_ADDR"), "127.0.0.1:0")
	t, err := startTelemetry(ctx, adminAddress, d.log, apiPart, workerPart)
	if err != nil {
		return err
	}
	defer stopTelemetry(t, d.log)
	operators, err := listenAdmin(adminAddress, t.Handler, d.log, apiPart, workerPart)
	if err != nil {
		return err
	}
	defer closeAdmin(operators)
	if url := operators.URL(); url != "" {
		if err := d.write("admin-url", url); err != nil {
			return err
		}
	}

	d.say("starting; the state is kept in %s", f.dir)
	if err := d.startChildren(ctx); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	s, err := connect(ctx, d.config, d.temporal, t, d.log, "")
	if err != nil {
		return err
	}
	s.admin = operators
	go s.temporal.Watch(ctx)
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
