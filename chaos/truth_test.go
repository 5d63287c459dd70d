package main

import (
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/parse"
)

// at returns the instant at which a second begins.
func at(second int) time.Time { return time.Unix(int64(second), 0) }

// during returns a span that begins and ends at the instant at(second).
func during(second int) span { return span{at(second), at(second)} }

// TestTheTruth checks files against a workspace with three memories. b was updated at second 15, and c was
// deleted at second 25.
func TestTheTruth(t *testing.T) {
	memory := func(id, text string) parse.Memory {
		created := "2025-01-01T00:00:00.00000" + id + "Z"
		return parse.Memory{ID: id, Text: &text, Priority: "LOW", Workspace: "w", Created: &created}
	}
	a, b, newB, c, d := memory("1", "a"), memory("2", "b"), memory("2", "new"), memory("3", "c"), memory("4", "d")
	foreign := memory("5", "e")
	ws := &workspace{id: "w", hashes: maphash.MakeSeed(), facts: map[string]*fact{}}
	for _, m := range []*parse.Memory{&a, &b, &c} {
		ws.add(m, during(1))
	}
	ws.add(&d, during(30))
	ws.learn("2", &newB, during(15))
	ws.learn("3", nil, during(25))

	for _, test := range []struct {
		name     string
		file     []parse.Memory
		from, to int
		want     string // what a problem says; empty if the file is right
	}{
		{"before the changes", []parse.Memory{a, b, c}, 5, 10, ""},
		{"the update during the export may be missed", []parse.Memory{a, b, c}, 10, 20, ""},
		{"or seen", []parse.Memory{a, newB, c}, 10, 20, ""},
		{"the memory that is deleted meanwhile may be missing", []parse.Memory{a, newB}, 20, 26, ""},
		{"so may the one that is inserted", []parse.Memory{a, newB, d}, 26, 31, ""},
		{"a memory is missing", []parse.Memory{a, c}, 5, 10, "is missing"},
		{"a memory appears twice", []parse.Memory{a, a, b, c}, 5, 10, "appears twice"},
		{"two are exchanged", []parse.Memory{b, a, c}, 5, 10, "not in order"},
		{"an old content", []parse.Memory{a, b, c}, 16, 20, "content"},
		{"a content of the future", []parse.Memory{a, newB, c}, 5, 10, "content"},
		{"a memory that was deleted before", []parse.Memory{a, newB, c, d}, 31, 35, "deleted before"},
		{"a memory that was inserted later", []parse.Memory{a, newB, d}, 26, 28, "inserted after"},
		{"a memory of another workspace", []parse.Memory{a, b, c, foreign}, 5, 10, "of the workspace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems := ws.wrong(test.file, filter{}, at(test.from), at(test.to))
			if test.want == "" && len(problems) > 0 {
				t.Errorf("the file is right, but: %q", problems)
			}
			if test.want != "" && !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, test.want) }) {
				t.Errorf("no problem says %q: %q", test.want, problems)
			}
		})
	}
}
