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

// GoProgram returns the path of the program built from the Go package pkg, at the version that the
// module in the folder tools/<module> of this checkout names. It is built once, which may take
// minutes, and kept under the name in the user's cache. log gets progress lines and may be nil.
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

// NodePackages returns a folder with the node_modules that the lock file in the folder
// tools/<module> of this checkout names. npm installs them once, without running their scripts, into
// the user's cache. log gets progress lines and may be nil.
func NodePackages(ctx context.Context, module string, log func(format string, args ...any)) (string, error) {
	source, err := findSource(module)
	if err != nil {
		return "", err
	}
	name, files := path.Base(module), []string{"package.json", "package-lock.json"}
	// The settings of npm and, above node_modules, of TypeScript, which some packages look for.
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

// npmInstall copies the files that name the packages from source to out and installs the packages
// there.
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

// goBuild builds a command of the module in source.
func goBuild(ctx context.Context, source, pkg, out, name string, log logFunc) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build %s: %w; put Go on PATH", name, err)
	}
	cmd := exec.Command(goCommand, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=") // for this machine, also during a cross build
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

// findSource returns the folder tools/<module> of the checkout that the working directory is in.
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

// versionedPath returns a path in the cache for what is made from source. It changes with the content
// of the files in source, which name the versions.
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
