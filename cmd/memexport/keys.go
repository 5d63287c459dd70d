package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"memexport/internal/service/apikey"
	"memexport/internal/service/config"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Create, list, rotate and revoke API keys"}
	c.AddCommand(keysCreateCommand(), keysListCommand(), keysRotateCommand(), keysRevokeCommand())
	return c
}

// withKeys opens the API keys in the database at DATABASE_URL and calls do with them.
func withKeys(cmd *cobra.Command, do func(*apikey.Store) error) error {
	cfg, err := config.Load(config.Database)
	if err != nil {
		return err
	}
	db, err := openMigrated(cmd.Context(), cfg, "")
	if err != nil {
		return err
	}
	defer db.Close()
	return ownerOnly(do(apikey.NewStore(db)))
}

func keysCreateCommand() *cobra.Command {
	var workspace, name, expires string
	var permissions []string
	var test bool
	c := &cobra.Command{
		Use:   "create",
		Short: "Create a key for a workspace and print it, which happens only once",
		Example: "  memexport keys create --workspace 7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22 \\\n" +
			"    --permission export.read --permission export.write --name nightly-backup --expires 90d",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			expiresAt, err := parseExpiry(expires, time.Now())
			if err != nil {
				return usageError{err}
			}
			return withKeys(cmd, func(keys *apikey.Store) error {
				prefix := apikey.LivePrefix
				if test {
					prefix = apikey.TestPrefix
				}
				var granted []apikey.Permission
				for _, p := range permissions {
					granted = append(granted, apikey.Permission(p))
				}
				secret, key, err := keys.CreateUntil(cmd.Context(), expiresAt, workspace, name, prefix, granted)
				if err != nil {
					return err
				}
				return printSecret(cmd, secret, key)
			})
		},
	}
	c.Flags().StringVar(&workspace, "workspace", "", "the id of the workspace, a UUID")
	c.Flags().StringVar(&name, "name", "", "what the key is for, in at most 100 printable characters")
	c.Flags().StringArrayVar(&permissions, "permission", nil, "export.read or export.write; give it once for each")
	c.Flags().StringVar(&expires, "expires", "", "when the key expires: after 90d or 12h, or at a time such as 2027-01-31T00:00:00Z (default never)")
	c.Flags().BoolVar(&test, "test", false, "create a key that begins with msk_test_ instead of msk_live_")
	for _, flag := range []string{"workspace", "name", "permission"} {
		if err := c.MarkFlagRequired(flag); err != nil {
			panic(err) // cannot happen: the flag is defined above
		}
	}
	return c
}

// printSecret prints only the secret on standard output, so that a script can read it. Everything else
// goes to standard error. If the secret cannot be printed, the error says how to replace the key.
func printSecret(cmd *cobra.Command, secret string, key apikey.Key) error {
	expires := "does not expire"
	if key.ExpiresAt != nil {
		expires = "expires at " + when(key.ExpiresAt)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "key %s (%q) for the workspace %s %s; it cannot be shown again:\n", key.ID, key.Name, key.WorkspaceID, expires)
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), secret); err != nil {
		return fmt.Errorf("the key %s was created, but cannot be printed: %w; run `memexport keys rotate %s --overlap 0s` to replace it", key.ID, err, key.ID)
	}
	return nil
}

func keysListCommand() *cobra.Command {
	var workspace string
	c := &cobra.Command{
		Use:   "list",
		Short: "List keys; the service stores only their hashes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withKeys(cmd, func(keys *apikey.Store) error {
				list, err := keys.List(cmd.Context(), workspace)
				if err != nil {
					return err
				}
				now := time.Now()
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tKEY\tNAME\tWORKSPACE\tPERMISSIONS\tSTATE\tCREATED\tEXPIRES\tLAST USED\tREVOKED")
				for _, k := range list {
					// Quote the names, because the names of keys that an earlier version created may
					// contain any characters.
					fmt.Fprintf(table, "%s\t%s…\t%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Display, strconv.Quote(k.Name), k.WorkspaceID, k.Permissions,
						k.State(now), when(&k.CreatedAt), when(k.ExpiresAt), when(k.LastUsedAt), when(k.RevokedAt))
				}
				return table.Flush()
			})
		},
	}
	c.Flags().StringVar(&workspace, "workspace", "", "only the keys of this workspace")
	return c
}

// when returns a time as text, or "-" for nil.
func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
