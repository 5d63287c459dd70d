package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"memexport/internal/service/apikey"
)

func keysRotateCommand() *cobra.Command {
	var overlap, expires string
	c := &cobra.Command{
		Use:   "rotate ID",
		Short: "Create a key that replaces another one, and print it, which happens only once",
		Long: "Creates a key with the same workspace, name and permissions, and prints it. The old key stays valid for\n" +
			"the overlap, so that clients can be changed one after the other. `memexport keys list` shows when the\n" +
			"old key was used last. `memexport keys revoke` ends it earlier.",
		Example: "  memexport keys rotate 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 --overlap 24h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lasts, err := parseDays(overlap)
			if err != nil || lasts < 0 {
				return usageError{fmt.Errorf("--overlap %q is not a duration: give one such as 24h or 7d, or 0s to end the old key at once", overlap)}
			}
			expiresAt, err := parseExpiry(expires, time.Now())
			if err != nil {
				return usageError{err}
			}
			return withKeys(cmd, func(keys *apikey.Store) error {
				secret, key, err := keys.Rotate(cmd.Context(), args[0], lasts, expiresAt)
				var replaced *apikey.Replaced
				switch {
				case errors.Is(err, apikey.ErrUnknown):
					return fmt.Errorf("the key %q does not exist or is not valid: `memexport keys list` shows the ids", args[0])
				case errors.As(err, &replaced):
					return fmt.Errorf("the key %s has been replaced already: rotate the key %s", args[0], replaced.By)
				case err != nil:
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "key %s stays valid for %s at most\n", args[0], lasts)
				return printSecret(cmd, secret, key)
			})
		},
	}
	c.Flags().StringVar(&overlap, "overlap", "24h", "how long the old key stays valid, such as 12h or 7d; 0s ends it at once")
	c.Flags().StringVar(&expires, "expires", "", "when the new key expires, as for create (default the lifetime of the old key)")
	return c
}

func keysRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a key, which takes effect at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withKeys(cmd, func(keys *apikey.Store) error {
				err := keys.Revoke(cmd.Context(), args[0])
				if errors.Is(err, apikey.ErrUnknown) {
					return fmt.Errorf("the key %q does not exist or is revoked already: `memexport keys list` shows the ids", args[0])
				}
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "key %s is revoked\n", args[0])
				}
				return err
			})
		},
	}
}

// parseExpiry returns the time that the value of --expires stands for, or nil if the value is empty.
func parseExpiry(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	expiresAt, err := time.Parse(time.RFC3339, text)
	if err != nil {
		lasts, err := parseDays(text)
		if err != nil {
			return nil, fmt.Errorf("--expires %q is neither a duration such as 90d or 12h nor a time such as 2027-01-31T00:00:00Z", text)
		}
		expiresAt = now.Add(lasts)
	}
	if !expiresAt.After(now) {
		return nil, fmt.Errorf("--expires %q is not in the future", text)
	}
	return &expiresAt, nil
}

// parseDays parses a duration: a whole number of days such as 90d, or anything that time.ParseDuration
// accepts.
func parseDays(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16) // 16 bits allow up to 179 years
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}
