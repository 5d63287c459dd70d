package compare_test

import (
	"strings"
	"testing"

	"memexport/internal/workshop/compare"
)

// These are the same memory, once as an export writes it and once as psql writes it.
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

func TestOnlyTheDocumentedDifferencesAreAccepted(t *testing.T) {
	for _, c := range []struct {
		name           string
		compare        compare.Func
		ours, psqls    string
		spoil, instead string
	}{
		{"csv", compare.CSV, ourCSV, psqlsCSV, "LOW", "HIGH"},
		{"csv, unguarded", compare.CSV, ourCSV, psqlsCSV, "'=1", "=2"},
		{"csv, categories", compare.CSV, ourCSV, psqlsCSV, "x y", "x  y"},
		{"csv, time", compare.CSV, ourCSV, psqlsCSV, "00.500000", "00.500001"},
		{"csv, fewer", compare.CSV, ourCSV, psqlsCSV, ourCSV[len(header):], ""},
		{"csv, header", compare.CSV, ourCSV, psqlsCSV, "user_id", "user"},
		{"json", compare.JSON, ourJSON, psqlsJSON, `"=\n"`, `"="`},
		{"json, null", compare.JSON, ourJSON, psqlsJSON, `"=\n"`, `null`},
		{"json, metadata", compare.JSON, ourJSON, psqlsJSON, `{"a": 1}`, `{"a": 2}`},
		{"json, fewer", compare.JSON, ourJSON, psqlsJSON, ourJSON, "[\n]\n"},
		{"json, cut off", compare.JSON, ourJSON, psqlsJSON, "\n]\n", ""},
		{"markdown", compare.Markdown, ourMarkdown, psqlsCSV, "· a", "· b"},
		{"markdown, fewer", compare.Markdown, ourMarkdown, psqlsCSV, "\n## 2025", "\n> ## 2025"},
	} {
		if n, err := c.compare(strings.NewReader(c.ours), strings.NewReader(c.psqls)); n != 1 || err != nil {
			t.Errorf("%s: %d rows, %v", c.name, n, err)
		}
		spoilt := strings.Replace(c.ours, c.spoil, c.instead, 1)
		if spoilt == c.ours {
			t.Errorf("%s: there is no %q to spoil", c.name, c.spoil)
		}
		if _, err := c.compare(strings.NewReader(spoilt), strings.NewReader(c.psqls)); err == nil {
			t.Errorf("%s: the difference was not found", c.name)
		}
	}
}
