package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"memexport/internal/workshop/devstack"
)

// typescript is the folder with package.json and the TypeScript programs.
const typescript = "tools/clients/typescript"

// node runs programs from the npm packages in package-lock.json.
type node struct {
	modules string // path of the folder node_modules
	program string // path of Node.js
}

// installNode installs the packages into the user's cache, once for every version of package-lock.json.
func installNode(ctx context.Context) (node, error) {
	dir, err := devstack.NodePackages(ctx, "clients/typescript", say)
	if err != nil {
		return node{}, err
	}
	modules := filepath.Join(dir, "node_modules")
	n := node{modules: modules, program: filepath.Join(modules, ".bin", "node")}
	if _, err := os.Stat(n.program); err != nil {
		n.program = "node" // there is no npm package with Node.js for this platform
	}
	version, err := output(ctx, "", nil, n.program, "--version")
	if err != nil {
		return node{}, err
	}
	if !recent(version) {
		return node{}, fmt.Errorf("Node.js on PATH is %s, but @hey-api/openapi-ts needs 22.18 or newer: install that", strings.TrimSpace(version))
	}
	return n, nil
}

// recent reports whether a version such as v22.18.0 is 22.18 or newer.
func recent(version string) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	major, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) < 2 {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && (major > 22 || major == 22 && minor >= 18)
}

// run runs a program from the npm packages. dir is its working directory.
func (n node) run(ctx context.Context, dir, program string, args ...string) error {
	quiet := []string{"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1"}
	_, err := output(ctx, dir, quiet, n.program, append([]string{filepath.Join(n.modules, ".bin", program)}, args...)...)
	return err
}

// version returns the installed version of a package.
func (n node) version(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(n.modules, name, "package.json"))
	if err != nil {
		return "", err
	}
	var manifest struct{ Version string }
	err = json.Unmarshal(text, &manifest)
	return manifest.Version, err
}

// copyFiles copies files from one folder to another, and creates that folder if necessary.
func copyFiles(to, from string, names ...string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
