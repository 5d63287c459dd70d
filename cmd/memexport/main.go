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
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "memexport:", err)
		os.Exit(1)
	}
}

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
	root.AddCommand(devCommand(), apiCommand(), workerCommand(), migrateCommand(), keysCommand(), demoCommand())
	return root
}
