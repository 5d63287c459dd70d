package parse

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Formats has a parser for each format. The parsers follow the documentation of the formats and share no code
// with memexport.
var Formats = map[string]func([]byte) ([]Memory, error){
	"json": parseJSON, "csv": parseCSV, "markdown": parseMarkdown, "ndjson": parseNDJSON, "parquet": parseParquet,
}

// parseJSON parses an array with one object per line.
func parseJSON(file []byte) ([]Memory, error) {
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.UseNumber()
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, fmt.Errorf("the file begins with %v, %v", token, err)
	}
	var memories []Memory
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		if bytes.ContainsAny(raw, "\r\n") {
			return nil, fmt.Errorf("an object has several lines: %q", raw)
		}
		m, err := parseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, raw)
		}
		memories = append(memories, m)
	}
	if token, err := decoder.Token(); err != nil || token != json.Delim(']') {
		return nil, fmt.Errorf("the file ends with %v, %v", token, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("the file goes on after the array")
	}
	if lines := bytes.Count(file, []byte("\n")); lines != len(memories)+2 && !(len(memories) == 0 && lines <= 2) {
		return nil, fmt.Errorf("%d lines for %d memories", lines, len(memories))
	}
	return memories, nil
}

func parseObject(raw []byte) (m Memory, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	_, _ = decoder.Token() // skip the opening brace
	for _, column := range Columns {
		if key, err := decoder.Token(); err != nil || key != column {
			return m, fmt.Errorf("the key %v, %v instead of %s", key, err, column)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return m, err
		}
		if column == "metadata" {
			text := string(value)
			m.Metadata, err = canonical(&text)
		} else {
			err = json.Unmarshal(value, m.target(column))
		}
		if err != nil {
			return m, fmt.Errorf("%s: %w", column, err)
		}
	}
	if decoder.More() {
		return m, errors.New("an object has more keys than Columns")
	}
	return m, nil
}

// target returns a pointer to the field for a column, or nil if the column is unknown.
func (m *Memory) target(column string) any {
	switch column {
	case "id":
		return &m.ID
	case "memory":
		return &m.Text
	case "user_id":
		return &m.User
	case "agent_id":
		return &m.Agent
	case "session_id":
		return &m.Session
	case "priority":
		return &m.Priority
	case "status":
		return &m.Status
	case "categories":
		return &m.Categories
	case "metadata":
		return &m.Metadata
	case "workspace_id":
		return &m.Workspace
	case "access_count":
		return &m.AccessCount
	case "last_accessed_at":
		return &m.Accessed
	case "created_at":
		return &m.Created
	case "updated_at":
		return &m.Updated
	}
	return nil
}

// set sets the field for a column to the value, which is in the text form of the files. nil stands
// for NULL.
func (m *Memory) set(column string, value *string) (err error) {
	switch target := m.target(column).(type) {
	case **string:
		*target = value
		if column == "metadata" {
			*target, err = canonical(value)
		}
	case *string:
		if value == nil {
			return fmt.Errorf("%s is NULL", column)
		}
		*target = *value
	case *[]string:
		if value == nil {
			return fmt.Errorf("%s is NULL", column)
		}
		err = json.Unmarshal([]byte(*value), target)
	case *int64:
		if value == nil {
			return fmt.Errorf("%s is NULL", column)
		}
		*target, err = strconv.ParseInt(*value, 10, 64)
	}
	return err
}

// parseCSV parses a file as RFC 4180 says and compares the result with the result of encoding/csv.
// The two may differ only where encoding/csv loses information: it turns CRLF in a cell into LF,
// and it does not distinguish NULL from the empty string.
func parseCSV(file []byte) ([]Memory, error) {
	records, err := parseRecords(string(file))
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(bytes.NewReader(file))
	reader.FieldsPerRecord = len(Columns)
	theirs, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("encoding/csv: %w", err)
	}
	if len(theirs) != len(records) || !slices.Equal(theirs[0], Columns) {
		return nil, fmt.Errorf("encoding/csv: %d records instead of %d, the first is %q", len(theirs), len(records), theirs[0])
	}
	memories := []Memory{}
	for i, record := range records[1:] {
		var m Memory
		for c, column := range Columns {
			cell := record[c]
			if cell != nil && strings.ReplaceAll(*cell, "\r\n", "\n") != theirs[i+1][c] || cell == nil && theirs[i+1][c] != "" {
				return nil, fmt.Errorf("encoding/csv: record %d: %q instead of %q", i+1, theirs[i+1][c], Optional(cell))
			}
			if cell != nil && slices.Contains(Columns[1:9], column) { // this column contains text
				for _, start := range strings.FieldsFunc(*cell, func(r rune) bool { return strings.ContainsRune(";|\t\r\n", r) }) {
					if strings.HasPrefix(strings.TrimLeft(start, `"`), "=") {
						return nil, fmt.Errorf("record %d: %s makes a formula: %q", i+1, column, *cell)
					}
				}
				plain := apostrophe.ReplaceAllString(*cell, "$1")
				cell = &plain
			}
			if err := m.set(column, cell); err != nil {
				return nil, fmt.Errorf("record %d: %w", i+1, err)
			}
		}
		memories = append(memories, m)
	}
	return memories, nil
}

// apostrophe matches the apostrophes that CSV adds to a text cell.
var apostrophe = regexp.MustCompile(`(^|[;|\t\r\n])'`)

// parseRecords parses strict RFC 4180: every record ends with CRLF, and a quote in a quoted cell is
// doubled. A nil cell in the result is an empty cell without quotes.
func parseRecords(file string) ([][]*string, error) {
	var records [][]*string
	var record []*string
	for rest := file; rest != ""; {
		var cell *string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			var text strings.Builder
			for {
				before, after, found := strings.Cut(quoted, `"`)
				if !found {
					return nil, errors.New("a quote is not closed")
				}
				text.WriteString(before)
				if quoted, ok = strings.CutPrefix(after, `"`); !ok {
					rest = after
					break
				}
				text.WriteByte('"')
			}
			s := text.String()
			cell = &s
		} else {
			n := strings.IndexAny(rest, ",\r\n\"")
			if n < 0 {
				return nil, errors.New("the last record has no end")
			}
			if n > 0 {
				s := rest[:n]
				cell = &s
			}
			rest = rest[n:]
		}
		record = append(record, cell)
		if after, ok := strings.CutPrefix(rest, ","); ok {
			rest = after
			continue
		}
		after, ok := strings.CutPrefix(rest, "\r\n")
		if !ok || len(record) != len(Columns) {
			return nil, fmt.Errorf("record %d has %d cells and goes on with %.20q", len(records), len(record), rest)
		}
		records, record, rest = append(records, record), nil, after
	}
	if record != nil || len(records) == 0 {
		return nil, errors.New("the file does not end with a record")
	}
	return records, nil
}
