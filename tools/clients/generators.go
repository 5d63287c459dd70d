package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// client is a program that calls the API with generated code.
type client struct {
	generator, document, version string
	dir                          string
	command                      []string
}

// generator creates a client. It copies a program that calls the API into the client's folder,
// generates code from the document into the same folder, and compiles the two together.
type generator struct {
	name string
	make func(context.Context, *client, node) error
}

var generators = []generator{
	{"oapi-codegen", makeGo("github.com/oapi-codegen/oapi-codegen/v2", "config.yaml", "oapi-codegen", "-config", "config.yaml")},
	{"ogen", makeGo("github.com/ogen-go/ogen", "", "ogen", "--target", "exports", "--package", "exports", "--clean")},
	{"openapi-typescript", makeTypeScript("openapi-typescript", func(document string) []string {
		return []string{"openapi-typescript", document, "-o", "exports/exports.ts"}
	})},
	{"hey-api", makeTypeScript("@hey-api/openapi-ts", func(document string) []string {
		return []string{"openapi-ts", "-i", document, "-o", "exports", "--no-log-file"}
	})},
}

// makeGo returns generator.make for a generator in Go. The folder of the program that calls the API has a
// go.mod, which names the version of the generator.
func makeGo(module, config string, tool ...string) func(context.Context, *client, node) error {
	return func(ctx context.Context, c *client, _ node) error {
		files := []string{"go.mod", "go.sum", "main.go"}
		if config != "" {
			files = append(files, config)
		}
		if err := copyFiles(c.dir, filepath.Join("tools/clients", c.generator), files...); err != nil {
			return err
		}
		// Both Go programs use this file to print their calls.
		if err := copyFiles(c.dir, "tools/clients/oapi-codegen", "check.go"); err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(c.dir, "exports"), 0o755); err != nil {
			return err
		}
		document, err := filepath.Abs(documents[c.document])
		if err != nil {
			return err
		}
		for _, args := range [][]string{
			append(append([]string{"tool"}, tool...), document),
			{"vet", "./..."},
			{"build", "-trimpath", "-o", "client", "."},
		} {
			if _, err := output(ctx, c.dir, nil, "go", args...); err != nil {
				return err
			}
		}
		c.command = []string{filepath.Join(c.dir, "client")}
		version, err := output(ctx, c.dir, nil, "go", "list", "-m", "-f", "{{.Version}}", module)
		c.version = strings.TrimPrefix(strings.TrimSpace(version), "v")
		return err
	}
}

// makeTypeScript returns generator.make for a generator that is an npm package. The returned function
// also compiles the client, with tsc --strict.
func makeTypeScript(name string, args func(document string) []string) func(context.Context, *client, node) error {
	return func(ctx context.Context, c *client, n node) error {
		if err := copyFiles(c.dir, typescript, "package.json", "tsconfig.json", "check.ts", c.generator+".ts"); err != nil {
			return err
		}
		if err := os.Symlink(n.modules, filepath.Join(c.dir, "node_modules")); err != nil {
			return err
		}
		document, err := filepath.Abs(documents[c.document])
		if err != nil {
			return err
		}
		generate := args(document)
		if err := n.run(ctx, c.dir, generate[0], generate[1:]...); err != nil {
			return err
		}
		if err := n.run(ctx, c.dir, "tsc", "--strict", "-p", "."); err != nil {
			return err
		}
		c.command = []string{n.program, filepath.Join(c.dir, "out", c.generator+".js")}
		c.version, err = n.version(name)
		return err
	}
}

// runTimeout is generous, since a run takes only seconds.
const runTimeout = 3 * time.Minute

// run runs the client and returns the calls that it made. The client prints a line with three
// fields for each call.
func (c *client) run(ctx context.Context, environment []string) ([]call, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	lines, err := output(ctx, c.dir, environment, c.command[0], c.command[1:]...)
	if err != nil {
		return nil, err
	}
	var calls []call
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("it prints the line %q instead of three fields with tabs between them", line)
		}
		calls = append(calls, call{operation: fields[0], status: fields[1], what: fields[2]})
	}
	return calls, checkComplete(calls)
}
