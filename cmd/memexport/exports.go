package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"memexport/client"
	"memexport/internal/cli/progress"
	"memexport/internal/cli/remote"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

func listCommand() *cobra.Command {
	var f remoteFlags
	var status, formatName string
	var limit int
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the newest exports",
		Example: "  memexport list --status READY --format csv\n  memexport list --limit 0 --json | jq -r '.[].id'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case status != "" && !client.ExportStatus(status).Valid():
				return usagef("--status is %q: give one of %s", status, strings.Join(statusNames(), ", "))
			case formatName != "" && !client.ExportFormat(formatName).Valid():
				return usagef("--format is %q: give one of %s", formatName, strings.Join(format.Names(), ", "))
			case limit < 0:
				return usagef("--limit is negative: give 0 for all exports")
			}
			svc, err := f.connect(cmd, 0, progress.New(os.Stderr))
			if err != nil {
				return err
			}
			exports, err := svc.List(cmd.Context(), limit, func(e remote.Export) bool {
				return (status == "" || string(e.Status) == status) && (formatName == "" || string(e.Format) == formatName)
			})
			if err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), exports)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "ID\tSTATUS\tFORMAT\tMEMORIES\tSIZE\tCREATED\tEXPIRES\tFILTER")
			for _, e := range exports {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Status, e.Format, humanize.Comma(e.MemoryCount), size(e),
					when(&e.CreatedAt), when(e.ExpiresAt), strings.Join(filters(e), " "))
			}
			return table.Flush()
		},
	}
	f.add(c)
	c.Flags().StringVar(&status, "status", "", "only exports with this status: "+strings.Join(statusNames(), ", "))
	c.Flags().StringVar(&formatName, "format", "", "only exports with this format: "+strings.Join(format.Names(), ", "))
	c.Flags().IntVar(&limit, "limit", 20, "the largest number of exports; 0 for all")
	complete(c, "status", statusNames()...)
	complete(c, "format", format.Names()...)
	return c
}

func getCommand() *cobra.Command {
	var f remoteFlags
	c := &cobra.Command{
		Use:     "get ID",
		Short:   "Show an export",
		Example: "  memexport get 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24\n  memexport get 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 --json | jq -r .status",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, id, err := f.connectAbout(cmd, args[0])
			if err != nil {
				return err
			}
			e, err := svc.Get(cmd.Context(), id)
			if err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), e)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, line := range details(e) {
				fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
			}
			return table.Flush()
		},
	}
	f.add(c)
	return c
}

func deleteCommand() *cobra.Command {
	var f remoteFlags
	c := &cobra.Command{
		Use:     "delete ID",
		Short:   "Delete an export: cancel it, or remove its file",
		Example: "  memexport delete 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, id, err := f.connectAbout(cmd, args[0])
			if err != nil {
				return err
			}
			if err := svc.Delete(cmd.Context(), id); err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"id": id, "deleted": true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the export %s is deleted\n", id)
			return err
		},
	}
	f.add(c)
	return c
}

// size returns the size of the file as text, or "-" if there is no file yet.
func size(e remote.Export) string {
	if e.SizeBytes == nil {
		return "-"
	}
	return humanize.Bytes(uint64(*e.SizeBytes))
}

// filters returns the filters of an export as texts such as user_id="u", with the names and values of the
// API. The values are printable.
func filters(e remote.Export) (list []string) {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(e.JSON, &fields) // cannot fail, because the same JSON was decoded before
	for _, name := range filterNames() {
		if value := string(fields[name]); value != "" && value != "null" {
			list = append(list, name+"="+printable(value))
		}
	}
	return list
}

// printable escapes the characters of a JSON text that a terminal may not show as they are, such as control
// characters and marks that change the direction of the text.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// details returns pairs of a name and a value that describe an export.
func details(e remote.Export) [][2]string {
	lines := [][2]string{{"id", e.ID.String()}, {"status", string(e.Status)}, {"format", string(e.Format)}}
	for _, filter := range filters(e) {
		name, value, _ := strings.Cut(filter, "=")
		lines = append(lines, [2]string{name, value})
	}
	lines = append(lines, [2]string{"progress", fmt.Sprintf("%d%%", e.Progress)}, [2]string{"memories", humanize.Comma(e.MemoryCount)},
		[2]string{"created", when(&e.CreatedAt)})
	if e.SizeBytes != nil && e.Sha256 != nil {
		lines = append(lines, [2]string{"size", fmt.Sprintf("%d bytes", *e.SizeBytes)}, [2]string{"sha256", *e.Sha256},
			[2]string{"completed", when(e.CompletedAt)}, [2]string{"expires", when(e.ExpiresAt)})
	}
	if e.Error != nil {
		lines = append(lines, [2]string{"error", e.Error.Code + ": " + e.Error.Message})
	}
	return lines
}

func statusNames() (names []string) {
	for _, s := range export.Statuses {
		names = append(names, string(s))
	}
	return names
}
