package devstack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"

	"memexport/internal/workshop/process"
)

// The oldest server that has what the service uses by default: priority of tasks.
const minTemporalMajor, minTemporalMinor = 1, 31

// temporalProgram is a Temporal CLI with the dev server in it.
type temporalProgram struct {
	path    string
	version string // of the server: "1.31.2"
}

// findTemporal returns the CLI on PATH if it is recent enough, else the one in the cache, which it
// builds when it is not there.
func findTemporal(ctx context.Context, log logFunc) (temporalProgram, error) {
	if path, err := exec.LookPath("temporal"); err == nil && filepath.IsAbs(path) {
		version, err := temporalVersion(ctx, path)
		if err == nil && recentTemporal(version) {
			return temporalProgram{path, version}, nil
		}
		if err != nil {
			version = err.Error()
		}
		log("temporal: %s on PATH is not used (server %s, %d.%d or newer is needed)", path, version, minTemporalMajor, minTemporalMinor)
	}
	source, err := findTemporalSource()
	if err != nil {
		return temporalProgram{}, err
	}
	path, err := buildTemporal(ctx, source, log)
	if err != nil {
		return temporalProgram{}, err
	}
	version, err := temporalVersion(ctx, path)
	if err != nil {
		return temporalProgram{}, fmt.Errorf("%w; delete that file to have it built again", err)
	}
	return temporalProgram{path, version}, nil
}

var serverVersion = regexp.MustCompile(`\(Server (\d+\.\d+\.\d+[^ ,)]*)`)

// temporalVersion asks the CLI for the version of the server in it.
func temporalVersion(ctx context.Context, path string) (string, error) {
	cmd := exec.Command(path, "--version")
	cmd.Env = process.EnvironWithout("TEMPORAL_")
	out, err := process.Run(ctx, cmd, process.RunOptions{})
	if err != nil {
		return "", fmt.Errorf("%s cannot be used: %w", path, err)
	}
	match := serverVersion.FindStringSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("%s cannot be used: it calls itself %q", path, out)
	}
	return match[1], nil
}

func recentTemporal(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > minTemporalMajor || major == minTemporalMajor && minor >= minTemporalMinor
}

// temporalName is the Temporal CLI in messages.
const temporalName = "the Temporal CLI"

// findTemporalSource returns tools/temporal of the checkout that the working directory is in.
func findTemporalSource() (string, error) {
	source, err := findSource("temporal")
	if err != nil {
		return "", fmt.Errorf("there is no temporal with server %d.%d or newer on PATH, and none can be built, since %w: "+
			"install the Temporal CLI (https://docs.temporal.io/cli), or run from a checkout",
			minTemporalMajor, minTemporalMinor, err)
	}
	return source, nil
}

// buildTemporal returns the CLI built from source, a folder with go.mod and go.sum.
func buildTemporal(ctx context.Context, source string, log logFunc) (string, error) {
	return cached(ctx, "temporal", source, []string{"go.mod", "go.sum"}, log, func(out string) error {
		log("temporal: building the CLI and its dev server from source, once: about 5 minutes on 2 cores")
		err := goBuild(ctx, source, "github.com/temporalio/cli/cmd/temporal", out, temporalName, log)
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%w, or install the Temporal CLI (https://docs.temporal.io/cli)", err)
		}
		return err
	})
}
