package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"memexport/internal/cli/progress"
	"memexport/internal/cli/remote"
)

// remoteFlags are the flags of all commands for users of a service.
type remoteFlags struct {
	url      string
	keyFile  string
	retryFor time.Duration
	json     bool
}

// defaultRetryFor and firstFor are how long failures are put up with, by default and until the
// service has answered for the first time, when its address may be wrong.
const defaultRetryFor, firstFor = 5 * time.Minute, 10 * time.Second

func (f *remoteFlags) add(c *cobra.Command) {
	c.GroupID = remoteGroup
	c.Flags().StringVar(&f.url, "url", "", "where the service is; defaults to MEMEXPORT_URL")
	c.Flags().StringVar(&f.keyFile, "api-key-file", "", "a file with the API key; defaults to the key in MEMEXPORT_API_KEY")
	c.Flags().DurationVar(&f.retryFor, "retry-for", defaultRetryFor, "how long to put up with a network or server that fails")
	c.Flags().BoolVar(&f.json, "json", false, "write JSON to standard output, for programs")
}

// connect makes the service of the flags and the environment.
func (f *remoteFlags) connect(cmd *cobra.Command, idle time.Duration, report *progress.Reporter) (*remote.Remote, error) {
	address := cmp.Or(f.url, os.Getenv("MEMEXPORT_URL"))
	if address == "" {
		return nil, usageError{errors.New("where is the service? Set MEMEXPORT_URL, or give --url, such as https://exports.example.com")}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageError{errors.New("MEMEXPORT_URL or --url is not right: give a URL such as https://exports.example.com")}
	}
	if f.retryFor < 0 || idle < 0 {
		return nil, usageError{errors.New("--retry-for and --idle-timeout must not be negative")}
	}
	key, err := f.key()
	if err != nil {
		return nil, err
	}
	first := min(f.retryFor, firstFor)
	if cmd.Flags().Changed("retry-for") {
		first = f.retryFor
	}
	return remote.New(remote.Options{URL: strings.TrimRight(address, "/"), Key: key, UserAgent: "memexport/" + version,
		RetryFor: f.retryFor, FirstFor: first, Idle: idle, Report: report})
}

// connectAbout is connect for what asks once about the export that an argument names.
func (f *remoteFlags) connectAbout(cmd *cobra.Command, argument string) (*remote.Remote, uuid.UUID, error) {
	id, err := exportID(argument)
	if err != nil {
		return nil, id, err
	}
	r, err := f.connect(cmd, 0, progress.New(os.Stderr, false))
	return r, id, err
}

func (f *remoteFlags) key() (string, error) {
	key := os.Getenv("MEMEXPORT_API_KEY")
	if f.keyFile != "" {
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return "", usageError{fmt.Errorf("--api-key-file: %w", err)}
		}
		key = string(text)
	}
	key = strings.TrimSpace(key)
	if key == "" {
		return "", usageError{errors.New("which API key? Set MEMEXPORT_API_KEY, or name a file with --api-key-file; `memexport keys create` makes one")}
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) { // the error of net/http would quote it
		return "", usageError{errors.New("the API key is not right: it has to be one word that begins with msk_")}
	}
	return key, nil
}

// exportID reads the argument that names an export.
func exportID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return id, usageError{fmt.Errorf("%q is no id of an export, such as 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24: `memexport list` shows them", text)}
	}
	return id, nil
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
