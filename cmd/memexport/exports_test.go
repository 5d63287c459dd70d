package main

import (
	"encoding/json"
	"slices"
	"testing"

	"memexport/internal/cli/remote"
)

func TestFiltersArePrintedWithoutCharactersThatSteerTheTerminal(t *testing.T) {
	// The values contain a control sequence (U+009B), marks that reverse the direction, a character outside the
	// basic plane that is not printable, and two that are.
	text := "{\"user_id\":\"a\u009b31m\u202eb\u2066\",\"categories\":[\"\U000e0001\",\"für 😀\"],\"agent_id\":null}"
	var e remote.Export
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	got := filters(e)
	slices.Sort(got)
	want := []string{`categories=["\udb40\udc01","für 😀"]`, `user_id="a\u009b31m\u202eb\u2066"`}
	if !slices.Equal(got, want) {
		t.Errorf("the filters are %q, want %q", got, want)
	}
}
