//go:build readers

package format_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"testing"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// TestMarkdownReaders renders texts with five Markdown readers: cmark-gfm, marked, markdown-it,
// remark-gfm and commonmark.js. It needs the program cmark-gfm, and the packages that npm ci installs
// in tools/markdown.
func TestMarkdownReaders(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	wants := append([]string{}, shown...)
	for range 4000 {
		wants = append(wants, randomProse(r))
	}
	pages := make([]string, len(wants))
	for i, want := range wants {
		pages[i] = string(encode(format.Markdown, []memory.Memory{{Text: []byte(want)}}, nil))
	}
	input, err := json.Marshal(pages)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "render.mjs")
	cmd.Dir, cmd.Stdin = "../../../tools/markdown", bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var rendered map[string][]string
	if err := json.Unmarshal(output, &rendered); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages[:1000] { // not all, because this starts a process for each page
		cmd := exec.Command("cmark-gfm", "--unsafe", "-e", "autolink", "-e", "table", "-e", "strikethrough", "-e", "tasklist")
		cmd.Stdin = bytes.NewReader([]byte(page))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: install the Debian package cmark-gfm", err)
		}
		rendered["cmark-gfm"] = append(rendered["cmark-gfm"], string(out))
	}
	if len(rendered) != 5 {
		t.Errorf("%d readers, want 5", len(rendered))
	}
	for reader, pages := range rendered {
		t.Logf("%s rendered %d texts", reader, len(pages))
		for i, page := range pages {
			if err := showsText(page, wants[i]); err != nil {
				t.Errorf("%s: %v", reader, err)
				break
			}
		}
	}
}
