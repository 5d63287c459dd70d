package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"memexport/internal/service/admin"
	"memexport/internal/service/config"
)

// maxHealth bounds how much of an answer is read. An answer has about 1 KiB.
const maxHealth = 1 << 20

func healthCommand() *cobra.Command {
	var address string
	var live, asJSON bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask the api or worker of this machine or container whether it is ready",
		Long: "Asks the admin port of a process, /readyz, and prints one line. The exit code is 0 if the process is ready, and\n" +
			"otherwise 1. Without --url it asks the process that has the same ADMIN_ADDR, so it serves as a healthcheck of\n" +
			"Docker and as an exec probe of Kubernetes. With --live it asks only whether the process answers at all, /healthz.",
		Example: "  memexport health\n  memexport health --live\n  memexport health --json --url \"$(cat .dev/admin-url)\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usagef("--timeout is %s: give a duration above 0, such as 5s", timeout)
			}
			url, err := adminURL(address)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			body, err := askAdmin(ctx, url+path)
			if err != nil {
				return fmt.Errorf("no process answers at %s: check that api or worker runs, and that ADMIN_ADDR or --url is its address: %w", url, err)
			}
			var state admin.State
			if err := json.Unmarshal(body, &state); err != nil || state.Status == "" {
				return fmt.Errorf("what answers at %s is not memexport: set ADMIN_ADDR or --url to the admin port of api or worker", url)
			}
			if asJSON {
				fmt.Fprint(cmd.OutOrStdout(), string(body))
			}
			if state.Status != admin.Ready && state.Status != admin.Alive {
				return fmt.Errorf("not ready: %s", state.Problem)
			}
			if !asJSON {
				parts := strings.Join(slices.Sorted(maps.Keys(state.Parts)), " and ")
				fmt.Fprintf(cmd.OutOrStdout(), "%s: memexport %s %s\n", state.Status, cmp.Or(parts, "process"), state.Version)
			}
			return nil
		},
	}
	c.Flags().StringVar(&address, "url", "", "the URL of the admin port, such as http://127.0.0.1:9090 (default from ADMIN_ADDR)")
	c.Flags().BoolVar(&live, "live", false, "ask only whether the process answers")
	c.Flags().BoolVar(&asJSON, "json", false, "print all that the process says about itself")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	return c
}

// adminURL returns the URL of the admin port: the given URL, or one for ADMIN_ADDR on this machine if none is
// given.
func adminURL(given string) (string, error) {
	if given != "" {
		if !strings.HasPrefix(given, "http://") && !strings.HasPrefix(given, "https://") {
			return "", usagef("--url %q is not a URL: give one such as http://127.0.0.1:9090", given)
		}
		return strings.TrimSuffix(given, "/"), nil
	}
	cfg, err := config.LoadFrom(map[string]string{"ADMIN_ADDR": os.Getenv("ADMIN_ADDR")}) // other settings do not matter
	if err != nil {
		return "", err
	}
	if cfg.AdminAddr == admin.Off {
		return "", errors.New("ADMIN_ADDR is off: set it to an address such as 127.0.0.1:9090 for the process and for this command")
	}
	host, port, err := net.SplitHostPort(cfg.AdminAddr)
	if err != nil || port == "0" {
		return "", errors.New("ADMIN_ADDR does not name a port: give --url")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // the port is open on all interfaces
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// askAdmin returns the answer of an admin port, whatever its status. It uses no proxy.
func askAdmin(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, maxHealth))
}
