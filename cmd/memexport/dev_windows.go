package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// devCommand replaces the dev command, which does not work on Windows.
func devCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine; not on Windows",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("memexport dev needs Linux or macOS: run it in WSL, the Windows Subsystem for Linux")
		},
	}
}
