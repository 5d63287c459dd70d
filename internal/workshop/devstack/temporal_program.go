package devstack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"memexport/internal/workshop/process"
)

// 1.31 is the oldest server version that supports task priority by default, which the service uses.
const minTemporalMajor, minTemporalMinor = 1, 31

// temporalProgram is a Temporal CLI, which contains the dev server.
type temporalProgram struct {
	path    string
	version string // version of the server, such as "1.31.2"
}

// temporalFinder finds the CLI, or downloads or builds it.
type temporalFinder struct {
	archives string // the value of TemporalOptions.Archives
	log      logFunc

	// These fields are for tests. Their zero values stand for temporalSums and downloadPatience.
	sums     map[string]string
	patience time.Duration
}

// find returns the CLI on PATH if that CLI is recent enough, and otherwise the CLI in the user's cache.
// If the cache does not contain the CLI, find downloads the official archive. If the download fails,
// find builds the CLI from source.
func (f temporalFinder) find(ctx context.Context) (temporalProgram, error) {
	log := f.log
	if program, ok := temporalOnPath(ctx, log); ok {
		log.printf("temporal: using %s (server %s), found on PATH", program.path, program.version)
		return program, nil
	}
	archive, archiveErr := f.archive()
	source, sourceErr := findSource("temporal")
	way := "from the cache"
	path, err := temporalPath(source)
	if err != nil {
		return temporalProgram{}, err
	}
	_, err = cached(ctx, path, "temporal", log, func(out string) error {
		err := archiveErr
		if err == nil {
			log.printf("temporal: downloading the official Temporal CLI %s: %s", temporalRelease, archive.url)
			began := time.Now()
			err = fetchTemporal(ctx, archive, out)
			way = fmt.Sprintf("downloaded in %v, SHA-256 verified", time.Since(began).Round(time.Second))
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if sourceErr != nil {
			return fmt.Errorf("there is no Temporal CLI with server %d.%d or newer on PATH, its release archive cannot be had (%w), "+
				"and it cannot be built, since %w: install it (https://docs.temporal.io/cli), or run from a checkout",
				minTemporalMajor, minTemporalMinor, err, sourceErr)
		}
		log.printf("temporal: the release archive cannot be had (%v): building from source, once, about 5 minutes on 2 cores", err)
		way = "built from source"
		return buildTemporal(ctx, source, out, log)
	})
	if err != nil {
		return temporalProgram{}, err
	}
	version, err := temporalVersion(ctx, path)
	if err != nil {
		return temporalProgram{}, fmt.Errorf("%w; delete that file to have it replaced", err)
	}
	log.printf("temporal: using %s (server %s), %s", path, version, way)
	return temporalProgram{path: path, version: version}, nil
}

// temporalOnPath returns the CLI on PATH. It returns false if there is no CLI on PATH or if the CLI is too
// old.
func temporalOnPath(ctx context.Context, log logFunc) (temporalProgram, bool) {
	path, err := exec.LookPath("temporal")
	if err != nil || !filepath.IsAbs(path) {
		return temporalProgram{}, false
	}
	version, err := temporalVersion(ctx, path)
	switch {
	case err != nil:
		log.printf("temporal: %s on PATH is not used: %v", path, err)
	case !recentTemporal(version):
		log.printf("temporal: %s on PATH is not used: it has server %s, and %d.%d or newer is needed", path, version, minTemporalMajor, minTemporalMinor)
	default:
		return temporalProgram{path: path, version: version}, true
	}
	return temporalProgram{}, false
}

// temporalPath returns the path of the CLI in the cache. In a checkout, source is the folder
// tools/temporal, and the file name contains a hash of the go.mod and go.sum in that folder. Outside a
// checkout, source is empty, and the file name contains the version of the release archive.
func temporalPath(source string) (string, error) {
	if source != "" {
		return versionedPath("temporal", source, "go.mod", "go.sum")
	}
	dir, err := cacheDir()
	return filepath.Join(dir, "temporal-"+temporalRelease), err
}

var serverVersion = regexp.MustCompile(`\(Server (\d+\.\d+\.\d+[^ ,)]*)`)

// temporalVersion runs the CLI to get the version of its server.
func temporalVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("%s --version does not end", path))
	defer cancel()
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

// buildTemporal builds the CLI from the module in the folder source.
func buildTemporal(ctx context.Context, source, out string, log logFunc) error {
	err := goBuild(ctx, source, "github.com/temporalio/cli/cmd/temporal", out, "temporal", log)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w, or install the Temporal CLI (https://docs.temporal.io/cli)", err)
	}
	return err
}
