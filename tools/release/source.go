package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// source is the commit that is released.
type source struct {
	root    string // the directory of the repository
	version string // for example 1.2.3, without the v of the tag
	commit  string // in hexadecimal, with the suffix -dirty if the work tree has changes
	time    time.Time
}

// readSource reads the commit that is checked out at root. If version is empty, it uses the nearest
// tag, as git describe shows it, or 0.0.0 with the commit if there is no tag.
func readSource(ctx context.Context, root, version string) (source, error) {
	described, err := git(ctx, root, "describe", "--tags", "--match", "v[0-9]*", "--always", "--dirty")
	if err != nil {
		return source{}, err
	}
	commit, err := git(ctx, root, "rev-parse", "HEAD")
	if err != nil {
		return source{}, err
	}
	seconds, err := git(ctx, root, "log", "-1", "--format=%ct")
	if err != nil {
		return source{}, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("the time of the commit is %q: %w", seconds, err)
	}
	if strings.HasSuffix(described, "-dirty") {
		commit += "-dirty"
	}
	if version == "" {
		version = described
		if !strings.HasPrefix(version, "v") {
			version = "0.0.0-g" + version
		}
	}
	version = strings.TrimPrefix(version, "v")
	if !validVersion.MatchString(version) {
		return source{}, fmt.Errorf("the version %q is not valid: give VERSION such as 1.2.3 or 1.2.3-rc.1", version)
	}
	return source{root: root, version: version, commit: commit, time: time.Unix(unix, 0).UTC()}, nil
}

// validVersion matches a semantic version without build metadata, because an image tag cannot
// contain a plus sign.
var validVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// git runs git in a directory and returns its output.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
