package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"memexport/internal/cli/remote"
	"memexport/internal/cli/resume"
)

// These are the exit codes. The table in docs/cli.md must be the same.
const (
	exitOther       = 1
	exitUsage       = 2   // wrong flags, arguments or configuration; a rejected request; a problem with a file or directory
	exitAuth        = 3   // the key is unknown or lacks the permission
	exitNotFound    = 4   // the export does not exist
	exitFailed      = 5   // the export is FAILED
	exitExpired     = 6   // the export is EXPIRED
	exitNetwork     = 7   // the service failed for longer than --retry-for
	exitMismatch    = 8   // the length or digest of the file is wrong
	exitInterrupted = 130 // SIGINT or SIGTERM ended a command that calls a service
)

// usageError means that the command was called wrongly.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

// usagef returns a usageError with a formatted message.
func usagef(format string, args ...any) error { return usageError{err: fmt.Errorf(format, args...)} }

// interruptedError means that a signal ended a command that calls a service.
type interruptedError struct{ err error }

func (i interruptedError) Error() string { return i.err.Error() }
func (i interruptedError) Unwrap() error { return i.err }

// noteRun changes c and all its subcommands, so that each sets running to true when it runs. If there is an
// error while running is still false, the flags or arguments are wrong.
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

// execute runs the command that is named on the command line.
func execute(ctx context.Context, root *cobra.Command) error {
	running := false
	noteRun(root, &running)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !running {
		return usagef("%w\nRun `%s --help` for usage", err, cmd.CommandPath())
	}
	if err != nil && ctx.Err() != nil && cmd.GroupID == remoteGroup {
		return interruptedError{err: err}
	}
	return err
}

// exitCode returns the exit code for an error.
func exitCode(err error) int {
	var usage usageError
	var interrupted interruptedError
	var gaveUp *resume.GaveUp
	var mismatch *resume.Mismatch
	var failed *remote.Failed
	var expired *remote.Expired
	var refusal *remote.Refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &interrupted):
		return exitInterrupted
	case errors.As(err, &usage), errors.Is(err, remote.ErrNotTheAPI), errors.Is(err, remote.ErrExists), errors.Is(err, remote.ErrOther),
		errors.Is(err, remote.ErrNoDirectory), errors.Is(err, resume.ErrBusy), errors.Is(err, resume.ErrForeign), errors.Is(err, resume.ErrNotRegular):
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

// refusalCode returns the exit code for a response that rejects the request.
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
