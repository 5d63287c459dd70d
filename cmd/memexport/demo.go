package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/demo"
)

func demoCommand() *cobra.Command {
	var memories int
	c := &cobra.Command{
		Use:   "demo",
		Short: "Create a demo memories table in MEMORIES_DATABASE_URL",
		Long: "Creates the table memories, unless it exists, and fills the workspace " + demo.WorkspaceID + " with\n" +
			"made-up memories. It never touches a table that it has not created.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Database)
			if err != nil {
				return err
			}
			db, err := openDatabase(cmd.Context(), "MEMORIES_DATABASE_URL (or DATABASE_URL)", cfg.MemoriesDatabaseURL, postgres.Options{MaxConns: 2})
			if err != nil {
				return err
			}
			defer db.Close()
			if err := demo.CreateTable(cmd.Context(), db); err != nil {
				return err
			}
			added, err := demo.Fill(cmd.Context(), db, demo.WorkspaceID, memories)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "added %d memories to the workspace %s\n", added, demo.WorkspaceID)
			return nil
		},
	}
	c.Flags().IntVar(&memories, "memories", 10_000, "how many memories the workspace has at the end")
	return c
}
