package devstack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"memexport/internal/workshop/process"
)

// GoProgram builds the program in the Go package pkg and returns its path. The go.mod in the folder
// tools/<module> of this checkout determines the version. The program is built once, which may take
// minutes, and is then kept in the user's cache under this name. log prints progress messages and may be
// nil.
func GoProgram(ctx context.Context, module, name, pkg string, log func(format string, args ...any)) (string, error) {
	source, err := findSource(module)
	if err != nil {
		return "", err
	}
	path, err := versionedPath(name, source, "go.mod", "go.sum")
	if err != nil {
		return "", err
	}
	return cached(ctx, path, name, log, func(out string) error {
		logFunc(log).printf("%s: building it from source, once: some minutes", name)
		return goBuild(ctx, source, pkg, out, name, log)
	})
}

// NodePackages returns a folder whose node_modules contains the packages in a lock file. The lock file is
// in the folder tools/<module> of this checkout. npm installs the packages once into the user's cache,
// without running their scripts. log prints progress messages and may be nil.
func NodePackages(ctx context.Context, module string, log func(format string, args ...any)) (string, error) {
	source, err := findSource(module)
	if err != nil {
		return "", err
	}
	name, files := path.Base(module), []string{"package.json", "package-lock.json"}
	// Copy the settings of npm and of TypeScript. Some packages look for tsconfig.json in the folder
	// that contains node_modules.
	for _, file := range []string{".npmrc", "tsconfig.json"} {
		if found, _ := exists(filepath.Join(source, file)); found {
			files = append(files, file)
		}
	}
	path, err := versionedPath(name, source, files...)
	if err != nil {
		return "", err
	}
	return cached(ctx, path, name, log, func(out string) error {
		logFunc(log).printf("%s: installing it with npm, once: about a minute", name)
		return npmInstall(ctx, source, files, out, name, log)
	})
}

// npmInstall copies package.json and the lock file from source to out and installs the packages in
// out.
func npmInstall(ctx context.Context, source string, files []string, out, name string, log logFunc) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("install %s: %w; put Node.js with npm on PATH (apt-get install nodejs npm)", name, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(out, file), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = out
	_, err = process.Run(ctx, cmd, process.RunOptions{Progress: func(since time.Duration) {
		log.printf("%s: still installing (%v)", name, since)
	}})
	return err
}

// goBuild builds a command from the module in the folder source.
func goBuild(ctx context.Context, source, pkg, out, name string, log logFunc) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build %s: %w; put Go on PATH", name, err)
	}
	cmd := exec.Command(goCommand, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=") // build for this machine, even if GOOS and GOARCH are set for a cross build
	begin := time.Now()
	_, err = process.Run(ctx, cmd, process.RunOptions{Progress: func(since time.Duration) {
		log.printf("%s: still building (%v); if the go command waits for the network, it has no limit: press Ctrl-C to give up", name, since)
	}})
	if failure, ok := errors.AsType[*process.Failure](err); ok {
		return fmt.Errorf("build %s in %s: %w", name, source, failure)
	}
	if err != nil {
		return err
	}
	log.printf("%s: built in %v", name, time.Since(begin).Round(time.Second))
	return nil
}

// findSource returns the folder tools/<module> of the checkout that contains the working directory.
func findSource(module string) (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		source := filepath.Join(dir, "tools", filepath.FromSlash(module))
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module memexport\n") {
			if _, err := os.Stat(source); err == nil {
				return source, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a checkout of memexport with a folder tools/%s", start, module)
		}
	}
}

// versionedPath returns a path in the cache for a program that is made from source. The path contains a
// hash of files, which determine the version of the program. So the path changes when these files change.
func versionedPath(name, source string, files ...string) (string, error) {
	hash := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return "", fmt.Errorf("the source of %s: %w", name, err)
		}
		hash.Write(text)
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%x", name, hash.Sum(nil)[:6])), nil
}
