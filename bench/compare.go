package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"memexport/internal/service/memory"
)

// psqlTime is a timestamptz as COPY writes it when the time zone is UTC.
const psqlTime = "2006-01-02 15:04:05.999999-07"

// compareCSV compares an export with psql's CSV of the same rows and returns how many there are.
// They may differ as the format documents: timestamps in RFC 3339, categories as JSON, and an
// apostrophe before what a spreadsheet would run. (encoding/csv cannot tell NULL from the empty
// text, and CR LF from LF: compareJSON can.)
func compareCSV(ours, theirs io.Reader) (int, error) {
	a, b := csvReader(ours), csvReader(theirs)
	for n := -1; ; n++ { // -1 is the header
		own, err := a.Read()
		psqls, psqlErr := b.Read()
		if errors.Is(err, io.EOF) && errors.Is(psqlErr, io.EOF) {
			return n, nil
		}
		if err != nil || psqlErr != nil {
			return n, fmt.Errorf("row %d: ours: %v; psql's: %v", n, err, psqlErr)
		}
		for i, column := range memory.Columns {
			if n < 0 && own[i] == column && psqls[i] == column {
				continue
			}
			same, err := sameCell(column, own[i], psqls[i])
			if err != nil || n < 0 {
				return n, fmt.Errorf("row %d, %s: %w", n, column, err)
			}
			if !same {
				return n, fmt.Errorf("row %d: %s differs from psql's", n, column)
			}
		}
	}
}

func csvReader(r io.Reader) *csv.Reader {
	c := csv.NewReader(bufio.NewReaderSize(r, 1<<20))
	c.FieldsPerRecord = len(memory.Columns)
	c.ReuseRecord = true
	return c
}

func sameCell(column, ours, theirs string) (bool, error) {
	switch column {
	case "last_accessed_at", "created_at", "updated_at":
		if ours == "" || theirs == "" {
			return ours == theirs, nil
		}
		a, err := time.Parse(time.RFC3339, ours)
		b, psqlErr := time.Parse(psqlTime, theirs)
		return a.Equal(b), errors.Join(err, psqlErr)
	case "categories":
		var a []string
		err := json.Unmarshal([]byte(ours), &a)
		var b pq.StringArray
		return err == nil && b.Scan(theirs) == nil && slices.Equal(a, b), err
	case "id", "workspace_id", "access_count":
		return ours == theirs, nil
	}
	return strings.TrimPrefix(ours, "'") == theirs && (ours != theirs || !strings.HasPrefix(ours, "'")), nil
}

// jsonMemory is a memory as both sides write it in JSON. Pointers tell null from the empty text.
type jsonMemory struct {
	ID             string          `json:"id"`
	Memory         *string         `json:"memory"`
	UserID         *string         `json:"user_id"`
	AgentID        *string         `json:"agent_id"`
	SessionID      *string         `json:"session_id"`
	Priority       *string         `json:"priority"`
	Status         *string         `json:"status"`
	Categories     []string        `json:"categories"`
	Metadata       json.RawMessage `json:"metadata"`
	WorkspaceID    string          `json:"workspace_id"`
	AccessCount    int64           `json:"access_count"`
	LastAccessedAt *time.Time      `json:"last_accessed_at"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
}

func (m *jsonMemory) equal(other *jsonMemory) bool {
	sameTime := m.CreatedAt.Equal(other.CreatedAt) && m.UpdatedAt.Equal(other.UpdatedAt)
	if m.LastAccessedAt == nil || other.LastAccessedAt == nil {
		sameTime = sameTime && m.LastAccessedAt == other.LastAccessedAt
	} else {
		sameTime = sameTime && m.LastAccessedAt.Equal(*other.LastAccessedAt)
	}
	// The metadata is Postgres's own text on both sides, to the byte.
	return sameTime && m.ID == other.ID && sameText(m.Memory, other.Memory) && sameText(m.UserID, other.UserID) &&
		sameText(m.AgentID, other.AgentID) && sameText(m.SessionID, other.SessionID) && sameText(m.Priority, other.Priority) &&
		sameText(m.Status, other.Status) && reflect.DeepEqual(m.Categories, other.Categories) &&
		string(m.Metadata) == string(other.Metadata) && m.WorkspaceID == other.WorkspaceID && m.AccessCount == other.AccessCount
}

func sameText(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// compareJSON compares an export with psql's row_to_json of the same rows and returns how many
// there are.
func compareJSON(ours, theirs io.Reader) (int, error) {
	array := json.NewDecoder(bufio.NewReaderSize(ours, 1<<20))
	array.DisallowUnknownFields()
	if token, err := array.Token(); err != nil || token != json.Delim('[') {
		return 0, fmt.Errorf("the file begins with %v instead of an array: %v", token, err)
	}
	lines := bufio.NewScanner(theirs)
	lines.Buffer(make([]byte, 1<<20), 1<<30)
	n := 0
	for ; array.More(); n++ {
		var own, psqls jsonMemory
		if err := array.Decode(&own); err != nil {
			return n, fmt.Errorf("row %d: %w", n, err)
		}
		if !lines.Scan() {
			return n, fmt.Errorf("psql has only %d rows: %w", n, lines.Err())
		}
		// COPY's own escape on top of JSON's, which leaves nothing else for it to escape.
		text := strings.ReplaceAll(lines.Text(), `\\`, `\`)
		if err := json.Unmarshal([]byte(text), &psqls); err != nil {
			return n, fmt.Errorf("row %d of psql's: %w", n, err)
		}
		if !own.equal(&psqls) {
			return n, fmt.Errorf("row %d, %s, differs from psql's", n, own.ID)
		}
	}
	if token, err := array.Token(); err != nil || token != json.Delim(']') {
		return n, fmt.Errorf("the file ends with %v instead of the array's end: %v", token, err)
	}
	if lines.Scan() {
		return n, fmt.Errorf("psql has more than the %d rows of the export", n)
	}
	return n, lines.Err()
}

// compareMarkdown compares the headings of an export, which have created_at and id, with psql's CSV
// and returns how many there are. No text can pass for one: its lines begin with "> ".
func compareMarkdown(ours, theirs io.Reader) (int, error) {
	rows := csvReader(theirs)
	if _, err := rows.Read(); err != nil { // the header
		return 0, err
	}
	idColumn, timeColumn := slices.Index(memory.Columns, "id"), slices.Index(memory.Columns, "created_at")
	reader := bufio.NewReaderSize(ours, 1<<20)
	n := 0
	for begins := true; ; {
		line, err := reader.ReadSlice('\n')
		if begins && strings.HasPrefix(string(line[:min(3, len(line))]), "## ") {
			row, csvErr := rows.Read()
			if csvErr != nil {
				return n, fmt.Errorf("heading %d has no row of psql's: %w", n, csvErr)
			}
			at, id, _ := strings.Cut(strings.TrimSpace(string(line[3:])), " · ")
			same, timeErr := sameCell("created_at", at, row[timeColumn])
			if timeErr != nil || !same || id != row[idColumn] {
				return n, fmt.Errorf("heading %d is not psql's row", n)
			}
			n++
		}
		begins = err == nil // else the line is longer than the buffer, and goes on
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				break
			}
			return n, err
		}
	}
	if _, err := rows.Read(); !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("psql has more than the %d rows of the export", n)
	}
	return n, nil
}
