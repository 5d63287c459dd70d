package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	oasdiff  = "github.com/oasdiff/oasdiff@v1.36.0"
	current  = "openapi/openapi.json"
	released = "openapi/released/openapi.json"
	accepted = "openapi/released/accepted.txt"
)

// errBreaks means that clients of the last release would no longer work.
var errBreaks = errors.New("this breaks clients of the last release: undo it, or raise the major version in api/document.go, or accept it in " + accepted)

// compare returns an error if the document breaks clients of the last release without a new major version.
// It also checks that oasdiff judges a list of known changes correctly. Otherwise nobody would notice an oasdiff
// that accepts everything.
func compare(ctx context.Context, work string) error {
	dir := filepath.Join(work, "oasdiff")
	if _, err := output(ctx, "", []string{"GOBIN=" + dir}, "go", "install", oasdiff); err != nil {
		return err
	}
	c := comparison{program: filepath.Join(dir, "oasdiff")}
	if err := c.breaks(ctx, released, current); err != nil {
		return err
	}
	fmt.Printf("oasdiff   %-26s does not break clients of %s\n", current, released)
	for _, change := range changes {
		document, err := readDocument(released)
		if err != nil {
			return err
		}
		change.make(document)
		changed := filepath.Join(dir, "changed.json")
		text, err := json.Marshal(document)
		if err != nil {
			return err
		}
		if err := os.WriteFile(changed, text, 0o644); err != nil {
			return err
		}
		if err := c.breaks(ctx, released, changed); errors.Is(err, errBreaks) != change.breaks || err != nil && !change.breaks {
			return fmt.Errorf("oasdiff judges the made-up change %q wrongly; breaking should be %t: %w", change.name, change.breaks, err)
		}
	}
	fmt.Printf("oasdiff   %d made-up changes         judged correctly\n", len(changes))
	return nil
}

// comparison compares documents with oasdiff, which is at the path program.
type comparison struct{ program string }

// breaks returns errBreaks if newer breaks clients of older and both have the same major version.
func (c comparison) breaks(ctx context.Context, older, newer string) error {
	text, err := output(ctx, "", nil, c.program, "breaking", older, newer, "--fail-on", "ERR", "--color", "never",
		"--severity-levels", filepath.Join(lintConfig, "severity.txt"), "--err-ignore", accepted)
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return err
	}
	from, err := majorOf(older)
	if err != nil {
		return err
	}
	to, err := majorOf(newer)
	if err != nil {
		return err
	}
	if from != to {
		return nil
	}
	return fmt.Errorf("%w\n%s", errBreaks, text)
}

// majorOf returns the major version in a document.
func majorOf(path string) (string, error) {
	document, err := readDocument(path)
	if err != nil {
		return "", err
	}
	version, _ := in(document, "info")["version"].(string)
	major, _, _ := strings.Cut(version, ".")
	return major, nil
}

func readDocument(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document map[string]any
	return document, json.Unmarshal(text, &document)
}

// in starts at node, follows the names in path, and returns the object that it reaches.
func in(node map[string]any, path ...string) map[string]any {
	for _, name := range path {
		node = node[name].(map[string]any)
	}
	return node
}

// changes lists changes to a document, and says whether each one breaks clients.
var changes = []struct {
	name   string
	breaks bool
	make   func(document map[string]any)
}{
	{name: "nothing", make: func(map[string]any) {}},
	{name: "a field added", make: func(d map[string]any) {
		in(d, "components", "schemas", "Export", "properties")["note"] = map[string]any{"type": "string"}
	}},
	{name: "an optional parameter added", make: func(d map[string]any) { addParameter(d, false) }},
	{name: "a code added", make: func(d map[string]any) {
		code := in(d, "components", "schemas", "Problem", "properties", "code")
		code["x-extensible-enum"] = append(code["x-extensible-enum"].([]any), "NEW")
	}},
	{name: "a required parameter added", breaks: true, make: func(d map[string]any) { addParameter(d, true) }},
	{name: "a parameter removed", breaks: true, make: func(d map[string]any) {
		op := in(d, "paths", "/v1/exports", "post")
		op["parameters"] = slices.DeleteFunc(op["parameters"].([]any), func(p any) bool { return p.(map[string]any)["name"] == "user_id" })
	}},
	{name: "an operation removed", breaks: true, make: func(d map[string]any) { delete(in(d, "paths", "/v1/exports/{id}"), "delete") }},
	{name: "an operation renamed", breaks: true, make: func(d map[string]any) { in(d, "paths", "/v1/exports", "get")["operationId"] = "exports" }},
	{name: "a field removed", breaks: true, make: func(d map[string]any) {
		export := in(d, "components", "schemas", "Export")
		delete(in(export, "properties"), "sha256")
		export["required"] = slices.DeleteFunc(export["required"].([]any), func(name any) bool { return name == "sha256" })
	}},
	{name: "a field made optional", breaks: true, make: func(d map[string]any) {
		export := in(d, "components", "schemas", "Export")
		export["required"] = slices.DeleteFunc(export["required"].([]any), func(name any) bool { return name == "status" })
	}},
	{name: "a field of another type", breaks: true, make: func(d map[string]any) {
		in(d, "components", "schemas", "Export", "properties", "progress")["type"] = "string"
	}},
	{name: "a status added", breaks: true, make: func(d map[string]any) {
		status := in(d, "components", "schemas", "ExportStatus")
		status["enum"] = append(status["enum"].([]any), "PAUSED")
	}},
	{name: "a format removed", breaks: true, make: func(d map[string]any) { in(d, "components", "schemas", "ExportFormat")["enum"] = []any{"json", "csv"} }},
	{name: "an error response removed", breaks: true, make: func(d map[string]any) { delete(in(d, "paths", "/v1/exports/{id}/download", "get", "responses"), "410") }},
	{name: "a media type removed", breaks: true, make: func(d map[string]any) {
		delete(in(d, "paths", "/v1/exports/{id}/download", "get", "responses", "200", "content"), "text/markdown")
	}},
	{name: "a header removed", breaks: true, make: func(d map[string]any) {
		delete(in(d, "paths", "/v1/exports", "post", "responses", "202", "headers"), "Location")
	}},
	{name: "an operation removed, in a new major version", make: func(d map[string]any) {
		delete(in(d, "paths", "/v1/exports/{id}"), "delete")
		in(d, "info")["version"] = "2.0.0"
	}},
	{name: "an operation removed, in a new minor version", breaks: true, make: func(d map[string]any) {
		delete(in(d, "paths", "/v1/exports/{id}"), "delete")
		in(d, "info")["version"] = "1.1.0"
	}},
}

func addParameter(document map[string]any, required bool) {
	op := in(document, "paths", "/v1/exports", "post")
	op["parameters"] = append(op["parameters"].([]any), map[string]any{
		"name": "note", "in": "query", "required": required, "schema": map[string]any{"type": "string"}})
}
