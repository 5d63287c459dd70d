package main

import (
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"memexport/internal/cli/progress"
	"memexport/internal/cli/remote"
)

// saveFlags are the flags of the commands `export` and `download`, which save a file.
type saveFlags struct {
	remoteFlags
	output  string
	force   bool
	restart bool
	quiet   bool
	idle    time.Duration
}

func (f *saveFlags) add(c *cobra.Command) {
	f.remoteFlags.add(c)
	c.Flags().StringVarP(&f.output, "output", "o", "", "the file to write, or - for standard output; defaults to the name that the server gives")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite an existing file")
	c.Flags().BoolVar(&f.restart, "restart", false, "discard an unfinished run with the same output")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "write nothing but errors")
	c.Flags().DurationVar(&f.idle, "idle-timeout", 30*time.Second, "how long a download may go without a byte before it is repeated; 0 sets no limit")
	if err := c.MarkFlagFilename("output"); err != nil {
		panic(err) // cannot happen: the flag is defined above
	}
}

// save runs the job, which downloads a file, and prints the result.
func (f *saveFlags) save(cmd *cobra.Command, job remote.Job) error {
	if f.json && f.output == "-" {
		return usagef("--json and -o - cannot both write to standard output: leave one of them out")
	}
	report := progress.New(os.Stderr)
	if f.quiet {
		report = progress.Silent()
	}
	svc, err := f.connect(cmd, f.idle, report)
	if err != nil {
		return err
	}
	job.Output, job.Stream, job.Force, job.Restart = f.output, os.Stdout, f.force, f.restart
	saved, err := svc.Save(cmd.Context(), job)
	switch {
	case err != nil:
		return err
	case f.json:
		return writeJSON(cmd.OutOrStdout(), saved)
	case f.quiet, saved.File == "-":
		return nil
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s memories, %s, sha256 %s\n", saved.File, humanize.Comma(saved.Export.MemoryCount),
		humanize.Bytes(uint64(*saved.Export.SizeBytes)), *saved.Export.Sha256)
	return err
}

func exportCommand() *cobra.Command {
	var f saveFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Export memories to a file",
		Long: "Creates an export, waits until it is ready, downloads its file and checks it. The file gets its name when it\n" +
			"is complete.\n\n" +
			"A memory must match all filters. Without filters, every memory of the key's workspace is exported.\n\n" +
			"If the command is interrupted or fails, run it again: it continues where it stopped. FILE.partial has the\n" +
			"bytes so far, and FILE.partial.json names the export.",
		Example: `  export MEMEXPORT_URL=https://exports.example.com MEMEXPORT_API_KEY=msk_live_...

  # everything, as JSON, under the name that the server gives
  memexport export

  # the memories of user-123 since New Year (UTC), for a spreadsheet
  memexport export --format csv --user-id user-123 --since 2026-01-01 -o memories.csv

  # one month; --until is exclusive, so that consecutive months do not overlap
  memexport export --since 2026-01-01 --until 2026-02-01 -o 2026-01.json

  # memories in one of two categories, piped to a program
  memexport export --category work --category travel -o - | jq length`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted, err := params(cmd)
			if err != nil {
				return usageError{err: err}
			}
			return f.save(cmd, remote.Job{Params: wanted})
		},
	}
	f.add(c)
	addParams(c)
	return c
}

func downloadCommand() *cobra.Command {
	var f saveFlags
	c := &cobra.Command{
		Use:   "download ID",
		Short: "Download the file of an export, once it is ready",
		Long: "Waits until an export is ready, downloads its file and checks it. The file gets its name when it is complete.\n" +
			"If the command is interrupted or fails, run it again: it continues where it stopped.",
		Example: "  memexport download 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24\n" +
			"  memexport download 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 -o memories.csv --force",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := exportID(args[0])
			if err != nil {
				return err
			}
			return f.save(cmd, remote.Job{ID: id})
		},
	}
	f.add(c)
	return c
}
