package main

import (
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
			db, err := openDatabase(cmd.Context(), "DATABASE_URL", cfg.DatabaseURL, 4)
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
