package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const lintConfig = "tools/clients/lint"

// linters lists the linters with arguments that make them fail on any finding, even on a hint.
var linters = []struct {
	name string
	args func(document string) []string
}{
	{"spectral", func(document string) []string {
		return []string{"lint", document, "--ruleset", filepath.Join(lintConfig, "spectral.yaml"), "--fail-severity", "hint"}
	}},
	{"redocly", func(document string) []string {
		return []string{"lint", document, "--config", filepath.Join(lintConfig, "redocly.yaml")}
	}},
}

// lint runs the linters on both documents. It also checks that they reject a document that contains an
// error.
func lint(ctx context.Context, work string, npm node) error {
	sound, err := os.ReadFile(documents["3.1"])
	if err != nil {
		return err
	}
	wrong := filepath.Join(work, "wrong.yaml")
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(sound), "operationId: getExport", "operationId: listExports", 1)), 0o644); err != nil {
		return err
	}
	for _, linter := range linters {
		var files []string
		for _, document := range documents {
			files = append(files, document)
		}
		for _, document := range slices.Sorted(slices.Values(files)) {
			if err := npm.run(ctx, "", linter.name, linter.args(document)...); err != nil {
				return err
			}
			fmt.Printf("%-9s %-26s clean\n", linter.name, document)
		}
		if npm.run(ctx, "", linter.name, linter.args(wrong)...) == nil {
			return fmt.Errorf("%s accepts %s, where two operations have the same operationId", linter.name, wrong)
		}
		fmt.Printf("%-9s %-26s refused, as expected\n", linter.name, "same operationId twice")
	}
	return nil
}
