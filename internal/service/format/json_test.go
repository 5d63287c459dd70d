package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// parseJSON reads a file as one JSON document and also line by line. It requires that every object has
// exactly the columns of memory.Columns, in order.
func parseJSON(file []byte) ([]row, error) {
	var document []any
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	lines := strings.Split(string(file), "\n")
	if n := len(lines); lines[0] != "[" || lines[n-2] != "]" || lines[n-1] != "" {
		return nil, errors.New("the brackets are not on their own lines")
	}
	lines = lines[1 : len(lines)-2]
	if len(lines) != len(document) {
		return nil, fmt.Errorf("%d lines for %d memories", len(lines), len(document))
	}
	var rows []row
	for i, line := range lines {
		if i < len(lines)-1 {
			var ok bool
			if line, ok = strings.CutSuffix(line, ","); !ok {
				return nil, fmt.Errorf("no comma after line %d", i)
			}
		}
		r, err := parseObject(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// parseObject reads one object with the columns of memory.Columns, in order.
func parseObject(line string) (row, error) {
	if !json.Valid([]byte(line)) {
		return nil, errors.New("the line is not valid JSON")
	}
	decoder := json.NewDecoder(strings.NewReader(line))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf("the line begins with %v, %v", token, err)
	}
	r := row{}
	for _, column := range memory.Columns {
		if key, err := decoder.Token(); err != nil || key != column {
			return nil, fmt.Errorf("key %v (%v), want %s", key, err, column)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		if string(raw) == "null" {
			continue
		}
		value := string(raw)
		switch column {
		case "categories", "metadata", "access_count":
		default:
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, err
			}
		}
		r[column] = value
	}
	if token, err := decoder.Token(); err != nil || token != json.Delim('}') || decoder.More() {
		return nil, fmt.Errorf("the object ends with %v, %v", token, err)
	}
	return r, nil
}

func TestJSONLooksAsDocumented(t *testing.T) {
	m := sample()
	m.Text, m.SessionID = []byte("a\"\\\b\n<é>"), nil
	want := "\n" + `{"id":"0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90","memory":"a\"\\\u0008\n<é>","user_id":"user-123","agent_id":"travel-agent",` +
		`"session_id":null,"priority":"HIGH","status":"COMPLETED","categories":["preferences","travel"],` +
		`"metadata":{"source": "chat", "confidence": 0.93},"workspace_id":"5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11","access_count":7,` +
		`"last_accessed_at":"2026-02-01T10:30:00.123456Z","created_at":"2026-01-15T10:30:00.123456Z","updated_at":"2026-01-16T10:30:00.123456Z"}`
	if got := string(appendWhole(format.JSON, nil, &m)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJSONEscapesEveryByteAtEveryOffset(t *testing.T) {
	for c := rune(1); c < 0x100; c++ {
		for i := range 20 {
			checkJSONString(t, strings.Repeat("a", i)+string(c)+strings.Repeat("é", 19-i))
			checkJSONString(t, strings.Repeat("\u007f", i)+string(c)+string(c))
		}
	}
}

func FuzzJSONString(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) {
			checkJSONString(t, s)
		}
	})
}

// checkJSONString encodes s, reads it back with encoding/json, and compares it with the output of
// encoding/json unless the two escape a character differently.
func checkJSONString(t *testing.T, s string) {
	t.Helper()
	m := memory.Memory{Text: []byte(s)}
	out := string(appendWhole(format.JSON, nil, &m))
	_, out, _ = strings.Cut(out, `"memory":`)
	out, _, _ = strings.Cut(out, `,"user_id":null`)
	var got string
	if err := json.Unmarshal([]byte(out), &got); err != nil || got != s {
		t.Fatalf("%q is read back from %s as %q, %v", s, out, got, err)
	}
	if strings.ContainsAny(s, "\b\f\u2028\u2029") { // encoding/json escapes these differently
		return
	}
	var theirs bytes.Buffer
	encoder := json.NewEncoder(&theirs)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil || strings.TrimSuffix(theirs.String(), "\n") != out {
		t.Fatalf("%q becomes %s, in encoding/json %s, %v", s, out, theirs.String(), err)
	}
}
