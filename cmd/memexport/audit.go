package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"memexport/internal/service/audit"
	"memexport/internal/service/config"
	"memexport/internal/service/rowid"
)

func auditCommand() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use:   "audit",
		Short: "Print who created, read, downloaded and deleted exports, and who changed keys",
		Long: "Prints audit events from DATABASE_URL as JSON lines, the oldest first. The flags are combined with AND.\n" +
			"docs/security.md says what is recorded.",
		Example: "  memexport audit --export 01a21ad5-3493-73ce-a055-58b4d64175d8\n" +
			"  memexport audit --workspace 7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22 --action export.download --since 24h",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := f.query(time.Now())
			if err != nil {
				return err
			}
			cfg, err := config.Load(config.Database)
			if err != nil {
				return err
			}
			db, err := openMigrated(cmd.Context(), cfg, "")
			if err != nil {
				return err
			}
			defer db.Close()
			lines := json.NewEncoder(cmd.OutOrStdout())
			return ownerOnly(audit.NewStore(db).Each(cmd.Context(), query, func(e audit.Event) error { return lines.Encode(e) }))
		},
	}
	c.Flags().StringVar(&f.workspace, "workspace", "", "only events of this workspace")
	c.Flags().StringVar(&f.export, "export", "", "only events of this export")
	c.Flags().StringVar(&f.key, "key", "", "only events by or about the API key with this id, or of the caller whose tokens have this key_id (token:...)")
	c.Flags().StringVar(&f.action, "action", "", "only this action: "+actionNames())
	c.Flags().StringVar(&f.since, "since", "", "only events from this time on: a timestamp such as 2026-01-15T00:00:00Z, or an age such as 24h")
	c.Flags().StringVar(&f.until, "until", "", "only events before this time, in the same form")
	return c
}

// auditFlags are the flags of `memexport audit`.
type auditFlags struct{ workspace, export, key, action, since, until string }

// query checks the flags and returns the query that they describe.
func (f *auditFlags) query(now time.Time) (audit.Query, error) {
	q := audit.Query{WorkspaceID: f.workspace, ExportID: f.export, KeyID: strings.ToLower(f.key), Action: audit.Action(f.action)}
	for name, id := range map[string]string{"workspace": f.workspace, "export": f.export, "key": f.key} {
		if id != "" && !rowid.Valid(id) && !(name == "key" && strings.HasPrefix(id, "token:")) {
			return q, usagef("--%s: %q is not a UUID", name, id)
		}
	}
	if f.action != "" && !slices.Contains(audit.Actions, q.Action) {
		return q, usagef("--action: %q is unknown: the actions are %s", f.action, actionNames())
	}
	for name, flag := range map[string]struct {
		text string
		time *time.Time
	}{"since": {f.since, &q.Since}, "until": {f.until, &q.Until}} {
		if flag.text == "" {
			continue
		}
		parsed, err := timeOrAge(flag.text, now)
		if err != nil {
			return q, usagef("--%s: %w", name, err)
		}
		*flag.time = parsed
	}
	return q, nil
}

// timeOrAge parses a timestamp or a duration. A duration such as 24h means 24 hours before now.
func timeOrAge(text string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a timestamp such as 2026-01-15T00:00:00Z nor an age such as 24h", text)
	}
	return t, nil
}

func actionNames() string {
	var names []string
	for _, a := range audit.Actions {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}
