package compare

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// jsonMemory is a memory as both files have it in JSON. Pointers distinguish null from the empty
// string.
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
	// Both files contain metadata exactly as Postgres writes it, so the bytes of the two values must be
	// equal.
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

// maxLine is the longest line that is read from psql's file. Postgres cannot store a longer value.
const maxLine = 1 << 30

// JSON compares an export in JSON with psql's row_to_json of the same rows.
func JSON(ours, psqls io.Reader) (memories int, err error) {
	array := json.NewDecoder(bufio.NewReaderSize(ours, bufferSize))
	array.DisallowUnknownFields()
	if token, err := array.Token(); err != nil || token != json.Delim('[') {
		return 0, fmt.Errorf("the file begins with %v instead of an array: %v", token, err)
	}
	lines := bufio.NewScanner(psqls)
	lines.Buffer(make([]byte, bufferSize), maxLine)
	n := 0
	for ; array.More(); n++ {
		var own, theirs jsonMemory
		if err := array.Decode(&own); err != nil {
			return n, fmt.Errorf("row %d: %w", n, err)
		}
		if !lines.Scan() {
			return n, fmt.Errorf("psql has only %d rows: %w", n, lines.Err())
		}
		// COPY doubles backslashes. JSON contains no other character that COPY escapes.
		text := strings.ReplaceAll(lines.Text(), `\\`, `\`)
		if err := json.Unmarshal([]byte(text), &theirs); err != nil {
			return n, fmt.Errorf("row %d of psql's: %w", n, err)
		}
		if !own.equal(&theirs) {
			return n, fmt.Errorf("row %d, %s, differs from psql's", n, own.ID)
		}
	}
	if token, err := array.Token(); err != nil || token != json.Delim(']') {
		return n, fmt.Errorf("the file ends with %v instead of the end of the array: %v", token, err)
	}
	if lines.Scan() {
		return n, fmt.Errorf("psql has more than the %d rows of the export", n)
	}
	return n, lines.Err()
}
