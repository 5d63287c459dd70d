package devstack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
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
	cmd.Env = envWithout("TEMPORAL_")
	out, err := runTool(ctx, cmd, nil)
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

// findTemporalSource returns tools/temporal of the checkout that the working directory is in.
func findTemporalSource() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		source := filepath.Join(dir, "tools", "temporal")
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module memexport\n") {
			if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
				return source, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no temporal with server %d.%d or newer on PATH, and %s is not in a checkout of memexport, "+
				"from which one could be built: install the Temporal CLI (https://docs.temporal.io/cli), or run from a checkout",
				minTemporalMajor, minTemporalMinor, start)
		}
	}
}

// buildTemporal returns the CLI built from source, a folder with go.mod and go.sum. The result is
// kept under a name made of the two; processes that need it at the same time build it once.
func buildTemporal(ctx context.Context, source string, log logFunc) (string, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("the source of the Temporal CLI: %w", err)
		}
		hash.Write(text)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("temporal-%x", hash.Sum(nil)[:6]))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	release, err := waitLock(ctx, path+".lock", func(since time.Duration) {
		log("temporal: another process builds it, waiting (%v so far)", since)
	})
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	unfinished := path + ".unfinished" // ours alone, by the lock
	if err := goBuild(ctx, source, unfinished, log); err != nil {
		_ = os.Remove(unfinished)
		return "", err
	}
	return path, os.Rename(unfinished, path)
}

func goBuild(ctx context.Context, source, out string, log logFunc) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build the Temporal CLI: %w; put Go on PATH, or install the Temporal CLI (https://docs.temporal.io/cli)", err)
	}
	log("temporal: building the CLI and its dev server from source, once: about 5 minutes on 2 cores")
	// go build refuses to overwrite what is not a program, such as what a killed build left.
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.Command(goCommand, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", out,
		"github.com/temporalio/cli/cmd/temporal")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=") // for this machine, whatever is being built around us
	begin := time.Now()
	text, err := runTool(ctx, cmd, func(since time.Duration) { log("temporal: still building (%v)", since) })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("build the Temporal CLI: the go command failed in %s; its last lines:\n%s", source,
			lastLines(cmp.Or(text, err.Error())))
	}
	if err != nil {
		return err
	}
	log("temporal: built in %v", time.Since(begin).Round(time.Second))
	return nil
}
