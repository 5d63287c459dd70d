// Command memexport exports AI memories in bulk: an HTTP API, a Temporal worker, and what it takes
// to run them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := execute(ctx, command()); err != nil {
		fmt.Fprintln(os.Stderr, "memexport:", err)
		os.Exit(exitCode(err))
	}
}

// The two kinds of commands, as help shows them.
const remoteGroup, serviceGroup = "remote", "service"

// command is the tree of commands.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "memexport",
		Short:         "Bulk exports of AI memories",
		Long:          "memexport serves the Exports API: durable bulk exports of AI memories as JSON, CSV or Markdown,\neach of them one Temporal workflow. `memexport dev` runs everything on this machine.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(&cobra.Group{ID: remoteGroup, Title: "Commands for users of a service (MEMEXPORT_URL, MEMEXPORT_API_KEY):"},
		&cobra.Group{ID: serviceGroup, Title: "Commands that run a service:"})
	root.AddCommand(exportCommand(), listCommand(), getCommand(), downloadCommand(), deleteCommand())
	for _, c := range []*cobra.Command{devCommand(), apiCommand(), workerCommand(), migrateCommand(), keysCommand(), demoCommand()} {
		c.GroupID = serviceGroup
		root.AddCommand(c)
	}
	return root
}
