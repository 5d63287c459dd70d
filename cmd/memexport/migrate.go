package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
)

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Create or update the schema memexport in DATABASE_URL",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Database)
			if err != nil {
				return err
			}
			shared, err := sharesSessions(cmd.Context(), "DATABASE_URL", cfg.DatabaseURL)
			if err != nil {
				return err
			}
			if shared {
				return errors.New("DATABASE_URL leads to a pooler that gives each transaction another session, and migrations need one session: " +
					"set it to Postgres itself, or to a pool with pool_mode=session, for this command")
			}
			db, err := postgres.Open(cfg.DatabaseURL, 4)
			if err != nil {
				return err
			}
			defer db.Close()
			applied, err := postgres.Migrate(cmd.Context(), db)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the schema memexport is up to date: %d migrations applied\n", applied)
			return nil
		},
	}
}
