// Command memexport exports AI memories in bulk. It runs the HTTP API and the Temporal worker, and
// it is also a client program for the API.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // root certificates, for a container image that has none
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills the process at once
	if err := execute(ctx, command()); err != nil {
		fmt.Fprintln(os.Stderr, "memexport:", err)
		os.Exit(exitCode(err))
	}
}

// These are the groups in which the help lists the commands.
const remoteGroup, serviceGroup = "remote", "service"

// command returns the root command with all its subcommands.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "memexport",
		Short: "Bulk exports of AI memories",
		Long: "memexport serves the Exports API: durable bulk exports of AI memories as JSON, NDJSON, CSV,\n" +
			"Markdown or Parquet.\n" +
			"Each export is one Temporal workflow. `memexport dev` runs everything on this machine.",
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(&cobra.Group{ID: remoteGroup, Title: "Commands for users of a service (MEMEXPORT_URL, MEMEXPORT_API_KEY):"},
		&cobra.Group{ID: serviceGroup, Title: "Commands that run a service:"})
	root.AddCommand(exportCommand(), listCommand(), getCommand(), downloadCommand(), deleteCommand())
	for _, c := range []*cobra.Command{devCommand(), apiCommand(), workerCommand(), healthCommand(), migrateCommand(), keysCommand(), workspacesCommand(), auditCommand(), demoCommand()} {
		c.GroupID = serviceGroup
		root.AddCommand(c)
	}
	return root
}
