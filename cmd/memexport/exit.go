package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"memexport/internal/cli/remote"
	"memexport/internal/cli/transfer"
)

// The exit codes; docs/cli.md has the same table.
const (
	exitOther       = 1
	exitUsage       = 2   // flags, arguments, configuration, a refused request, a file in the way
	exitAuth        = 3   // the key is unknown, or may not
	exitNotFound    = 4   // no such export
	exitFailed      = 5   // the export is FAILED
	exitExpired     = 6   // the export is EXPIRED
	exitNetwork     = 7   // no answer, or none of use, for longer than --retry-for
	exitMismatch    = 8   // the file is not what it has to be
	exitInterrupted = 130 // SIGINT or SIGTERM, in the commands for users of a service
)

// usageError is a command that was not called as it should be.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// interruptedError is what a command for users of a service was doing when it was told to stop.
type interruptedError struct{ error }

// noteRun notes when a command runs: what goes wrong before is how it was called.
func noteRun(c *cobra.Command, running *bool) {
	for _, sub := range c.Commands() {
		noteRun(sub, running)
	}
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*running = true
			return run(cmd, args)
		}
	}
}

// execute runs the program.
func execute(ctx context.Context, root *cobra.Command) error {
	running := false
	noteRun(root, &running)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !running {
		return usageError{fmt.Errorf("%w\nRun `%s --help` for how to call it", err, cmd.CommandPath())}
	}
	if err != nil && ctx.Err() != nil && cmd.GroupID == remoteGroup {
		return interruptedError{err}
	}
	return err
}

func exitCode(err error) int {
	var usage usageError
	var interrupted interruptedError
	var gaveUp *transfer.GaveUp
	var mismatch *transfer.Mismatch
	var failed *remote.Failed
	var expired *remote.Expired
	var refusal *remote.Refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &interrupted):
		return exitInterrupted
	case errors.As(err, &usage), errors.Is(err, remote.ErrNotTheAPI), errors.Is(err, remote.ErrExists), errors.Is(err, remote.ErrOther),
		errors.Is(err, transfer.ErrBusy), errors.Is(err, transfer.ErrForeign):
		return exitUsage
	case errors.As(err, &gaveUp):
		return exitNetwork
	case errors.As(err, &mismatch):
		return exitMismatch
	case errors.As(err, &failed):
		return exitFailed
	case errors.As(err, &expired):
		return exitExpired
	case errors.As(err, &refusal):
		return refusalCode(refusal)
	}
	return exitOther
}

func refusalCode(r *remote.Refusal) int {
	switch {
	case r.Code == "EXPORT_FAILED":
		return exitFailed
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		return exitAuth
	case r.Status == http.StatusNotFound:
		return exitNotFound
	case r.Status == http.StatusGone:
		return exitExpired
	case r.Status == http.StatusUnprocessableEntity, r.Status == http.StatusRequestURITooLong, r.Status == http.StatusRequestHeaderFieldsTooLarge:
		return exitUsage
	}
	return exitOther
}
