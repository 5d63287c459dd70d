package main

import (
	"io"
	"strings"
	"testing"
)

// What an export and psql write for the same memory.
const (
	header   = "id,memory,user_id,agent_id,session_id,priority,status,categories,metadata,workspace_id,access_count,last_accessed_at,created_at,updated_at\n"
	ourCSV   = header + "a,'=1,,,,LOW,FAILED,\"[\"\"x y\"\"]\",\"{\"\"a\"\": 1}\",w,3,,2025-01-01T08:00:00.000000Z,2025-01-01T08:00:00.500000Z\r\n"
	psqlsCSV = header + "a,=1,,,,LOW,FAILED,\"{\"\"x y\"\"}\",\"{\"\"a\"\": 1}\",w,3,,2025-01-01 08:00:00+00,2025-01-01 08:00:00.5+00\n"
	ourJSON  = "[\n{\"id\":\"a\",\"memory\":\"=\\n\",\"categories\":[\"x\"],\"metadata\":{\"a\": 1},\"access_count\":3," +
		"\"created_at\":\"2025-01-01T08:00:00.000000Z\",\"updated_at\":\"2025-01-01T08:00:00.500000Z\"}\n]\n"
	psqlsJSON = "{\"id\":\"a\",\"memory\":\"=\\\\n\",\"categories\":[\"x\"],\"metadata\":{\"a\": 1},\"access_count\":3," +
		"\"created_at\":\"2025-01-01T08:00:00+00:00\",\"updated_at\":\"2025-01-01T08:00:00.5+00:00\"}\n"
	ourMarkdown = "# Memories\n\n## 2025-01-01T08:00:00.000000Z · a\n\n> ## not one\n"
)

func TestComparisonsAcceptTheDocumentedDifferencesOnly(t *testing.T) {
	for _, c := range []struct {
		name           string
		compare        func(ours, theirs io.Reader) (int, error)
		ours, theirs   string
		spoil, instead string
	}{
		{"csv", compareCSV, ourCSV, psqlsCSV, "LOW", "HIGH"},
		{"csv, unguarded", compareCSV, ourCSV, psqlsCSV, "'=1", "=2"},
		{"csv, categories", compareCSV, ourCSV, psqlsCSV, "x y", "x  y"},
		{"csv, time", compareCSV, ourCSV, psqlsCSV, "00.500000", "00.500001"},
		{"csv, fewer", compareCSV, ourCSV, psqlsCSV, ourCSV[len(header):], ""},
		{"csv, header", compareCSV, ourCSV, psqlsCSV, "user_id", "user"},
		{"json", compareJSON, ourJSON, psqlsJSON, `"=\n"`, `"="`},
		{"json, null", compareJSON, ourJSON, psqlsJSON, `"=\n"`, `null`},
		{"json, metadata", compareJSON, ourJSON, psqlsJSON, `{"a": 1}`, `{"a": 2}`},
		{"json, fewer", compareJSON, ourJSON, psqlsJSON, ourJSON, "[\n]\n"},
		{"json, cut off", compareJSON, ourJSON, psqlsJSON, "\n]\n", ""},
		{"markdown", compareMarkdown, ourMarkdown, psqlsCSV, "· a", "· b"},
		{"markdown, fewer", compareMarkdown, ourMarkdown, psqlsCSV, "\n## 2025", "\n> ## 2025"},
	} {
		if n, err := c.compare(strings.NewReader(c.ours), strings.NewReader(c.theirs)); n != 1 || err != nil {
			t.Errorf("%s: %d rows, %v", c.name, n, err)
		}
		spoilt := strings.Replace(c.ours, c.spoil, c.instead, 1)
		if spoilt == c.ours {
			t.Errorf("%s: there is no %q to spoil", c.name, c.spoil)
		}
		if _, err := c.compare(strings.NewReader(spoilt), strings.NewReader(c.theirs)); err == nil {
			t.Errorf("%s: the difference was not found", c.name)
		}
	}
}
