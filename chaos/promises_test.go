package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// cited matches the name of a test in the tables of docs/reliability.md: a test function, or a case of a larger
// test, such as connections_that_hang.
var cited = regexp.MustCompile("`(Test[A-Z]\\w+|[a-z]+(?:_[a-z]+)+)`")

func TestEveryTestThatPromisesCiteExists(t *testing.T) {
	page, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := allTests(t)
	names := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 2 {
			continue
		}
		for _, match := range cited.FindAllStringSubmatch(cells[1], -1) {
			names++
			name := match[1]
			if !strings.Contains(tests, "\nfunc "+name+"(t *testing.T)") && !strings.Contains(tests, `"`+name+`"`) {
				t.Errorf("docs/reliability.md cites %s, which is not a test", name)
			}
		}
	}
	if names < 50 {
		t.Errorf("only %d tests are cited, so this tests nothing", names)
	}
}

// allTests returns the text of all files with tests in this repository, whatever their build tags.
func allTests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "promises_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
