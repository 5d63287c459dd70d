package main

import (
	"cmp"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"memexport/internal/cli/progress"
	"memexport/internal/cli/remote"
	"memexport/internal/service/rowid"
)

// remoteFlags are the flags of every command that calls a service.
type remoteFlags struct {
	url      string
	keyFile  string
	retryFor time.Duration
	json     bool
}

const (
	// defaultRetryFor is how long a failed request is retried. It is long enough for a restart of the
	// service or a short network outage.
	defaultRetryFor = 5 * time.Minute
	// firstFor replaces defaultRetryFor until the service has answered for the first time. It is short,
	// because the URL may be wrong.
	firstFor = 10 * time.Second
)

func (f *remoteFlags) add(c *cobra.Command) {
	c.GroupID = remoteGroup
	c.Flags().StringVar(&f.url, "url", "", "the URL of the service; defaults to MEMEXPORT_URL")
	c.Flags().StringVar(&f.keyFile, "api-key-file", "", "a file with the API key; defaults to the key in MEMEXPORT_API_KEY")
	c.Flags().DurationVar(&f.retryFor, "retry-for", defaultRetryFor, "how long to retry while the network or the server fails; 0 turns retries off")
	c.Flags().BoolVar(&f.json, "json", false, "write JSON to standard output, for programs")
}

// connect returns a client for the service that the flags and the environment name.
func (f *remoteFlags) connect(cmd *cobra.Command, idle time.Duration, report *progress.Reporter) (*remote.Service, error) {
	address := cmp.Or(f.url, os.Getenv("MEMEXPORT_URL"))
	if address == "" {
		return nil, usagef("the URL of the service is missing: set MEMEXPORT_URL or give --url, such as https://exports.example.com")
	}
	if err := checkURL(address); err != nil {
		return nil, err
	}
	if f.retryFor < 0 || idle < 0 {
		return nil, usagef("--retry-for and --idle-timeout must not be negative")
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

// checkURL returns an error if address cannot be the URL of a service. The error does not contain
// the address, because the address may contain a password.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return usagef("MEMEXPORT_URL or --url is not valid: give a URL such as https://exports.example.com")
	}
	path := strings.TrimRight(u.Path, "/")
	for _, surplus := range []string{"/v1/exports", "/v1"} {
		if rest, found := strings.CutSuffix(path, surplus); found {
			return usagef("MEMEXPORT_URL or --url ends in %s, which the program adds itself: give %s://%s%s", surplus, u.Scheme, u.Host, rest)
		}
	}
	return nil
}

// connectAbout is like connect, but for commands whose argument is the id of an export. It also returns
// the parsed id.
func (f *remoteFlags) connectAbout(cmd *cobra.Command, argument string) (*remote.Service, uuid.UUID, error) {
	id, err := exportID(argument)
	if err != nil {
		return nil, id, err
	}
	svc, err := f.connect(cmd, 0, progress.New(os.Stderr))
	return svc, id, err
}

// key returns the API key from --api-key-file, or from MEMEXPORT_API_KEY if that flag is not set.
func (f *remoteFlags) key() (string, error) {
	key := os.Getenv("MEMEXPORT_API_KEY")
	if f.keyFile != "" {
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return "", usagef("--api-key-file: %w", err)
		}
		key = string(text)
	}
	key = strings.TrimSpace(key)
	if key == "" {
		return "", usagef("the API key is missing: set MEMEXPORT_API_KEY or name a file with --api-key-file; `memexport keys create` makes a key")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) { // check this here, because the error from net/http would contain the key
		return "", usagef("the API key is not valid: it must be one word that begins with msk_")
	}
	return key, nil
}

// exportID parses an argument that is the id of an export.
func exportID(text string) (uuid.UUID, error) {
	id, err := rowid.Parse(text)
	if err != nil {
		return id, usagef("%q is not the id of an export, such as 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24: `memexport list` shows the ids", text)
	}
	return id, nil
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
