package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"memexport/internal/workshop/process"
)

// binaries are the paths of the programs of one installed Postgres.
type binaries struct {
	postgres, initdb string // absolute paths of the two programs
	major            string // the major version, such as "15"
}

// packageDirs are the directories in which packages install versions that are not on PATH.
var packageDirs = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // the PostgreSQL project's own RPMs
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew on ARM
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// findBinaries returns a Postgres that the account can run. It returns the first of these that it can
// get:
//
//  1. the installed Postgres with the major version want, or any installed one if want is empty;
//  2. a downloaded Postgres, if want is the version to download or no version is installed;
//  3. an installed Postgres with another major version.
//
// If several versions are installed, the one on PATH comes first, then the newest package.
func findBinaries(ctx context.Context, runAs *account, want string, log logFunc) (binaries, error) {
	var usable []binaries
	var refused []error
	for _, candidate := range installed() {
		var err error
		candidate.major, err = candidate.version(ctx, runAs)
		switch {
		case ctx.Err() != nil:
			return binaries{}, context.Cause(ctx)
		case err != nil:
			refused = append(refused, err)
		case candidate.major == want || want == "":
			return candidate, nil
		default:
			usable = append(usable, candidate)
		}
	}
	if len(usable) > 0 && want != fetchMajor {
		return usable[0], nil // openCluster will report that this version cannot read the data
	}
	fetched, err := fetchPostgres(ctx, runAs, "", log)
	if err != nil && len(usable) > 0 {
		return usable[0], nil
	}
	if err != nil {
		return binaries{}, errors.Join(append([]error{err}, refused...)...)
	}
	return fetched, nil
}

// installed returns the Postgres versions on this machine. The preferred one comes first.
func installed() []binaries {
	var found []binaries
	postgres, err := exec.LookPath("postgres")
	initdb, err2 := exec.LookPath("initdb")
	if err == nil && err2 == nil && filepath.IsAbs(postgres) && filepath.IsAbs(initdb) {
		found = append(found, binaries{postgres: postgres, initdb: initdb})
	}
	for _, pattern := range packageDirs {
		dirs, _ := filepath.Glob(pattern + "/initdb") // the only error is a malformed pattern
		slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		for _, initdb := range dirs {
			found = append(found, binaries{postgres: filepath.Join(filepath.Dir(initdb), "postgres"), initdb: initdb})
		}
	}
	return found
}

var (
	number         = regexp.MustCompile(`\d+`)
	versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

// versionIn returns the first number in a path. It returns an int, not a string, so that 15 sorts after 9.
func versionIn(path string) int {
	n, _ := strconv.Atoi(number.FindString(path))
	return n
}

// version runs a program of this Postgres to get the major version. It runs the program as the user that
// will run the server, because that user may not have access to the program's folder.
func (b binaries) version(ctx context.Context, runAs *account) (string, error) {
	cmd := exec.Command(b.postgres, "--version")
	cmd.Dir = "/"
	cmd.Env = postgresEnv()
	runAs.apply(cmd)
	out, err := process.Run(ctx, cmd, process.RunOptions{})
	if err != nil {
		return "", fmt.Errorf("%s cannot be used: %w", b.postgres, err)
	}
	match := versionPattern.FindStringSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("%s cannot be used: it calls itself %q", b.postgres, out)
	}
	return match[1], nil
}
