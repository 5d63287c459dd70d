package compose

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// run returns the output of a command in the root of the repository.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Stderr = root, os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out)
}

// sources returns the files that the program is built from.
func sources(t *testing.T) []string {
	t.Helper()
	all := []string{"go.mod", "go.sum"}
	decoder := json.NewDecoder(strings.NewReader(run(t, "go", "list", "-deps", "-json=Dir,Module,GoFiles,EmbedFiles", "-tags", "disable_grpc_modules", "./cmd/memexport")))
	for {
		var p struct {
			Dir    string
			Module struct {
				Main bool
				Dir  string
			}
			GoFiles, EmbedFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			if path, err := filepath.Rel(p.Module.Dir, filepath.Join(p.Dir, name)); err == nil && p.Module.Main {
				all = append(all, path)
			}
		}
	}
}

// first returns the first part of a path, which is a file or a folder in the root of the repository.
func first(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// A change of the context makes Docker run the compiler again.
func TestTheContextHasTheProgramAndLittleElse(t *testing.T) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	ignored := func(path string) bool {
		t.Helper()
		match, err := matcher.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return match
	}
	needed := map[string]bool{}
	for _, path := range sources(t) {
		needed[first(path)] = true
		if ignored(path) {
			t.Errorf(".dockerignore leaves out %s, which the program is built from", path)
		}
	}
	if len(needed) < 8 {
		t.Fatalf("the program is built from %v", needed)
	}
	for path := range strings.Lines(run(t, "git", "ls-files")) {
		path = strings.TrimSpace(path)
		if test := strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".md") || strings.Contains(path, "/testdata/"); (test || !needed[first(path)]) && !ignored(path) {
			t.Errorf(".dockerignore does not leave out %s, which the program is not built from", path)
		}
	}
	for _, path := range []string{".git/HEAD", ".env", ".dev/api-key", "bin/memexport", "dist/SHA256SUMS", "node_modules/a", "api/node_modules/a/b.js"} {
		if !ignored(path) {
			t.Errorf(".dockerignore does not leave out %s", path)
		}
	}
}

// Without these caches, every change compiles all dependencies again, which takes some minutes.
func TestTheImageIsBuiltWithTheCachesOfEarlierBuilds(t *testing.T) {
	file := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	caches := map[string][]string{"go mod download": {"/go/pkg/mod"}, "go build": {"/go/pkg/mod", "/root/.cache/go-build"}}
	for command, targets := range caches {
		line := regexp.MustCompile(`(?m)^RUN .*\b` + command + `\b.*$`).FindString(file)
		if line == "" {
			t.Errorf("the Dockerfile does not run %s", command)
		}
		for _, target := range targets {
			if !strings.Contains(line, "--mount=type=cache,target="+target+" ") {
				t.Errorf("%s has no cache at %s: %s", command, target, line)
			}
		}
	}
	if modules, rest := strings.Index(file, "\nRUN --mount=type=cache,target=/go/pkg/mod go mod download\n"), strings.Index(file, "\nCOPY . .\n"); modules < 0 || rest < modules {
		t.Error("the Dockerfile copies all files before it downloads the modules, so each change downloads them again")
	}
}
