// Package docs_test checks the pages that people read.
package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	code    = regexp.MustCompile("(?s)```.*?\n```|`[^`\n]+`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	target  = regexp.MustCompile(`\bmake ([a-z][a-z-]*)\b`)
)

// pages returns the text of every Markdown page in the repository by its path from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	t.Chdir("..")
	list, err := exec.Command("git", "ls-files", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for path := range strings.FieldsSeq(string(list)) {
		if strings.Contains(path, "testdata/") {
			continue // exports, not pages
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	if len(texts) < 5 {
		t.Fatalf("there are only %d pages", len(texts))
	}
	return texts
}

// anchors returns the fragments that lead to the headings of a page, as git hosts make them.
func anchors(text string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	texts := pages(t)
	for page, text := range texts {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			path, fragment, _ := strings.Cut(match[1], "#")
			file := page
			if path != "" {
				file = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
			} else if fragment != "" && !slices.Contains(anchors(texts[file]), fragment) {
				t.Errorf("%s links to %s, but the page has no such heading", page, match[1])
			}
		}
	}
}

// named matches the links from alerts and from the Temporal UI to sections of pages.
var named = regexp.MustCompile(`docs/[a-z-]+\.md#[a-z-]+`)

func TestEverySectionThatAlertsAndDetailsNameExists(t *testing.T) {
	texts := pages(t)
	for path, atLeast := range map[string]int{"deploy/prometheus/alerts.yml": 20, "workflows/details.go": 1} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		links := named.FindAllString(string(text), -1)
		if len(links) < atLeast {
			t.Errorf("%s names %d sections, want at least %d", path, len(links), atLeast)
		}
		for _, l := range links {
			page, fragment, _ := strings.Cut(l, "#")
			if !slices.Contains(anchors(texts[page]), fragment) {
				t.Errorf("%s names %s, but there is no such section", path, l)
			}
		}
	}
	rules, err := os.ReadFile("deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(rules), "runbook_url: docs/operations.md#"+strings.ToLower(match[1])+"\n") {
			t.Errorf("the alert %s has no runbook_url", match[1])
		}
	}
}

func TestEveryMakeTargetOfAPageExists(t *testing.T) {
	texts := pages(t)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range texts {
		for _, snippet := range code.FindAllString(text, -1) {
			for _, match := range target.FindAllStringSubmatch(snippet, -1) {
				if !strings.Contains(string(makefile), "\n.PHONY: "+match[1]+"\n") {
					t.Errorf("%s has the command make %s: the Makefile has no such target", page, match[1])
				}
			}
		}
	}
}

var command = regexp.MustCompile("`memexport ([a-z]+)")

func TestEveryCommandOfAPageExists(t *testing.T) {
	texts := pages(t)
	list, err := exec.Command("git", "grep", "-h", "-o", `Use: *"[a-z]*`, "--", "cmd/memexport").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"completion"} // cobra adds this command
	for line := range strings.Lines(string(list)) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), `"`)
		names = append(names, name)
	}
	for page, text := range texts {
		for _, match := range command.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(names, match[1]) {
				t.Errorf("%s has the command memexport %s, which does not exist", page, match[1])
			}
		}
	}
}

var testName = regexp.MustCompile("`(Test[A-Z]\\w+)`")

func TestEveryTestThatAPageNamesExists(t *testing.T) {
	texts := pages(t)
	list, err := exec.Command("git", "grep", "-h", "-o", "^func Test[A-Za-z0-9_]*", "--", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range texts {
		for _, match := range testName.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(strings.Split(string(list), "\n"), "func "+match[1]) {
				t.Errorf("%s names %s, which does not exist", page, match[1])
			}
		}
	}
}
