package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
)

func migrateCommand() *cobra.Command {
	var api, worker string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update the schema memexport in DATABASE_URL",
		Long: "Creates or updates the schema memexport in DATABASE_URL. With --api-role and --worker-role, it also\n" +
			"gives these roles the privileges that api and worker need. docs/security.md shows how to create the roles.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Database)
			if err != nil {
				return err
			}
			db, err := openPool("DATABASE_URL", cfg.DatabaseURL, postgres.Options{MaxConns: 4})
			if err != nil {
				return err
			}
			defer db.Close()
			shared, err := sharesSessions(cmd.Context(), "DATABASE_URL", db)
			if err != nil {
				return err
			}
			if shared {
				return errors.New("DATABASE_URL leads to a pooler that gives each transaction another session, and migrations need one session: " +
					"set it to Postgres itself, or to a pool with pool_mode=session, for this command")
			}
			applied, err := postgres.MigrateWith(cmd.Context(), db, postgres.MigrateOptions{Tell: func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the schema memexport is up to date: %d migrations applied\n", applied)
			if api == "" {
				return nil
			}
			if err := postgres.Grant(cmd.Context(), db, api, worker); err != nil {
				return fmt.Errorf("%w: create both roles first, and connect as the owner of the schema (docs/security.md)", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the roles %q and %q have the privileges of api and worker\n", api, worker)
			return nil
		},
	}
	c.Flags().StringVar(&api, "api-role", "", "the role in Postgres of memexport api")
	c.Flags().StringVar(&worker, "worker-role", "", "the role in Postgres of memexport worker")
	c.MarkFlagsRequiredTogether("api-role", "worker-role")
	return c
}
