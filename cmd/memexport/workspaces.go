package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"memexport/erasure"
	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
	"memexport/internal/service/config"
	"memexport/internal/service/export"
	"memexport/internal/service/rowid"
	"memexport/internal/service/telemetry"
)

func workspacesCommand() *cobra.Command {
	c := &cobra.Command{Use: "workspaces", Short: "Erase everything that the service holds about a workspace"}
	c.AddCommand(workspacesEraseCommand())
	return c
}

func workspacesEraseCommand() *cobra.Command {
	var yes, deleteAudit bool
	c := &cobra.Command{
		Use:   "erase ID",
		Short: "Delete the keys, the exports and the objects of a workspace, and check that none is left",
		Long: "Deletes the API keys of a workspace, cancels its running exports, deletes the objects and then the rows of all\n" +
			"its exports, and counts what is left. Needs the settings of the worker, and a worker that runs: it ends the\n" +
			"cancelled exports. Asks for the id again unless --yes is given. If somebody has just terminated an export, it\n" +
			"waits for up to a minute, for each 100 exports. If it is interrupted, run it again: it goes on where it\n" +
			"stopped. The exit code is 0 only if nothing is left.\n\n" +
			"It does not touch the memories, which belong to the memory service, nor Temporal's histories, which hold ids\n" +
			"and counts and go with the retention of the namespace.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := rowid.Parse(args[0])
			if err != nil {
				return usagef("the workspace %q is not a UUID", args[0])
			}
			cfg, err := config.Load(config.Database, config.Bucket)
			if err != nil {
				return err
			}
			return withService(cmd.Context(), cfg, "", telemetry.Off(), func(ctx context.Context, s *service) error {
				e := &erasure.Eraser{DB: s.db, Exports: export.NewStore(s.db), Keys: apikey.NewStore(s.db), Audit: audit.NewStore(s.db),
					Archive: s.archive, Client: s.temporal.Client, Starter: s.starter, DeleteAudit: deleteAudit,
					Tell: func(message string) { fmt.Fprintln(cmd.ErrOrStderr(), message) }}
				confirm := func() error { return confirmed(cmd, id.String()) }
				if yes {
					confirm = func() error { return nil }
				}
				return ownerOnly(eraseWorkspace(ctx, e, id.String(), confirm, cmd.OutOrStdout()))
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "erase without asking")
	c.Flags().BoolVar(&deleteAudit, "audit", false, "erase the audit events of the workspace too, which otherwise stay for AUDIT_RETENTION")
	return c
}

// confirmed reads a line from standard input and returns an error unless the line is the id.
func confirmed(cmd *cobra.Command, id string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "Everything above will be deleted for good. Type the id of the workspace to go on: ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if strings.TrimSpace(line) == id {
		return nil
	}
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	return usagef("nothing was deleted: type the id %s, or pass --yes", id)
}

// eraseWorkspace erases a workspace. Before and afterwards, it prints how much the service stores about the
// workspace. It returns an error if anything is left that should have been erased.
func eraseWorkspace(ctx context.Context, e *erasure.Eraser, id string, confirm func() error, out io.Writer) error {
	before, err := e.Count(ctx, id, nil)
	if err != nil {
		return err
	}
	if err := printCounts(out, "FOUND", before); err != nil {
		return err
	}
	if err := confirm(); err != nil {
		return err
	}
	exportIDs, err := e.Erase(ctx, id)
	if err != nil {
		return fmt.Errorf("the workspace is not erased yet: %w; run the same command again", err)
	}
	after, err := e.Count(ctx, id, exportIDs)
	if err != nil {
		return fmt.Errorf("everything was deleted, but the check failed: %w; run the same command again", err)
	}
	if err := printCounts(out, "LEFT", after); err != nil {
		return err
	}
	for _, c := range after {
		if c.N > 0 && (c.What != erasure.Audit || e.DeleteAudit) {
			return fmt.Errorf("the workspace is not erased yet: %d of %s are left; run the same command again", c.N, c.What)
		}
	}
	fmt.Fprintf(out, "the workspace %s is erased\n", id)
	return nil
}

func printCounts(out io.Writer, title string, counts []erasure.Count) error {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "%s\tNUMBER\n", title)
	for _, c := range counts {
		fmt.Fprintf(table, "%s\t%d\n", c.What, c.N)
	}
	return table.Flush()
}
