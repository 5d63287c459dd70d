package devstack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"memexport/internal/workshop/process"
)

// GoProgram returns the path of the program that the package pkg is, at the version that the module
// in the folder tools/<module> of this checkout names. It is built once, which may take minutes, and
// kept under the name in the user's cache. log gets progress lines and may be nil.
func GoProgram(ctx context.Context, module, name, pkg string, log func(format string, args ...any)) (string, error) {
	log = orSilent(log)
	source, err := findSource(module)
	if err != nil {
		return "", err
	}
	return cached(ctx, name, source, []string{"go.mod", "go.sum"}, log, func(out string) error {
		log("%s: building it from source, once: some minutes", name)
		return goBuild(ctx, source, pkg, out, name, log)
	})
}

// NodePackages returns a folder with the node_modules that the lock file in the folder
// tools/<module> of this checkout names, installed by npm once, without running their scripts, and
// kept in the user's cache. log gets progress lines and may be nil.
func NodePackages(ctx context.Context, module string, log func(format string, args ...any)) (string, error) {
	log = orSilent(log)
	source, err := findSource(module)
	if err != nil {
		return "", err
	}
	name, files := path.Base(module), []string{"package.json", "package-lock.json"}
	return cached(ctx, name, source, files, log, func(out string) error {
		npm, err := exec.LookPath("npm")
		if err != nil {
			return fmt.Errorf("install %s: %w; put Node.js with npm on PATH (apt-get install nodejs npm)", name, err)
		}
		log("%s: installing it with npm, once: about a minute", name)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		for _, name := range files {
			text, err := os.ReadFile(filepath.Join(source, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(out, name), text, 0o644)
			}
			if err != nil {
				return err
			}
		}
		cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev")
		cmd.Dir = out
		_, err = process.Run(ctx, cmd, process.RunOptions{Progress: func(since time.Duration) { log("%s: still installing (%v)", name, since) }})
		return err
	})
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

// cached returns what make makes out of source, a file or a folder. The result is kept under a name
// made of the content of the files that say which versions it has; processes that need it at the
// same time make it once.
func cached(ctx context.Context, name, source string, files []string, log logFunc, build func(out string) error) (string, error) {
	hash := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return "", fmt.Errorf("the source of %s: %w", name, err)
		}
		hash.Write(text)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("%s-%x", name, hash.Sum(nil)[:6]))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	release, err := waitLock(ctx, path+".lock", func(since time.Duration) {
		log("%s: another process builds it, waiting (%v so far)", name, since)
	})
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	unfinished := path + ".unfinished" // ours alone, by the lock
	// go build refuses to overwrite what is not a program, such as what a killed build left.
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := build(unfinished); err != nil {
		_ = os.RemoveAll(unfinished)
		return "", err
	}
	return path, os.Rename(unfinished, path)
}

// goBuild builds a command of the module in source; what is its name in messages.
func goBuild(ctx context.Context, source, pkg, out, what string, log logFunc) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build %s: %w; put Go on PATH", what, err)
	}
	cmd := exec.Command(goCommand, "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=") // for this machine, whatever is being built around us
	begin := time.Now()
	_, err = process.Run(ctx, cmd, process.RunOptions{Progress: func(since time.Duration) { log("%s: still building (%v)", what, since) }})
	if failure, ok := errors.AsType[*process.Failure](err); ok {
		return fmt.Errorf("build %s in %s: %w", what, source, failure)
	}
	if err != nil {
		return err
	}
	log("%s: built in %v", what, time.Since(begin).Round(time.Second))
	return nil
}
