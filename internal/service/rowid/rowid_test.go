package rowid_test

import (
	"strings"
	"testing"

	"memexport/internal/service/rowid"
)

const id = "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"

func TestOnlyThe36CharacterFormIsAccepted(t *testing.T) {
	for _, text := range []string{id, strings.ToUpper(id)} {
		parsed, err := rowid.Parse(text)
		if err != nil || parsed.String() != id || !rowid.Valid(text) {
			t.Errorf("%q is parsed as %s: %v", text, parsed, err)
		}
	}
	for _, text := range []string{"", "x", id[:35], id + " ", "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""),
		id[:35] + "g", id[:35] + "\x00", "' OR true --", strings.Repeat("x", 36)} {
		if parsed, err := rowid.Parse(text); err == nil || rowid.Valid(text) {
			t.Errorf("%q is parsed as %s", text, parsed)
		}
	}
}
