// Package parse reads the files of exports and the rows of the table of memories into the same form, so that
// tests can compare them. It parses the files as the documentation of the formats says, and shares no code with
// memexport.
package parse

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/lib/pq"
)

// Memory is a row of the table, or a memory that was parsed from a file. Times are texts in the
// format that the files use.
type Memory struct {
	ID                         string
	Text                       *string
	User, Agent, Session       *string
	Priority, Status           string
	Categories                 []string
	Metadata                   *string // in the form that canonical returns
	Workspace                  string
	AccessCount                int64
	Accessed, Created, Updated *string
}

// Columns are the columns of a memory, in their order in the files.
var Columns = []string{"id", "memory", "user_id", "agent_id", "session_id", "priority", "status", "categories", "metadata",
	"workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at"}

// Fields returns the memory's values as texts, in the order of Columns. Equal values have equal
// texts, and different values have different texts.
func (m *Memory) Fields() []string {
	return []string{m.ID, Optional(m.Text), Optional(m.User), Optional(m.Agent), Optional(m.Session), m.Priority, m.Status,
		list(m.Categories), Optional(m.Metadata), m.Workspace, fmt.Sprint(m.AccessCount),
		Optional(m.Accessed), Optional(m.Created), Optional(m.Updated)}
}

// Optional formats a text that may be NULL. The result for NULL differs from the result for any text.
func Optional(s *string) string {
	if s == nil {
		return "NULL"
	}
	return "=" + *s
}

// list formats a list that may be NULL. The result for NULL differs from the result for any list.
func list(items []string) string {
	if items == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", items)
}

// selectMemories is the SQL that reads memories. Postgres formats the times in the same way as the
// files.
var selectMemories = func() string {
	stamp := func(column string) string {
		return `to_char(` + column + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	}
	return `SELECT id, memory, user_id, agent_id, session_id, priority, status, categories, metadata::text, workspace_id, access_count, ` +
		stamp("last_accessed_at") + `, ` + stamp("created_at") + `, ` + stamp("updated_at") + ` FROM memories WHERE workspace_id = $1 `
}()

// Table returns the workspace's memories that match the condition, in the order of an export. The
// parameters of the condition start at $2. An empty condition matches all memories.
func Table(ctx context.Context, db *sql.DB, workspace, condition string, args ...any) ([]Memory, error) {
	if condition == "" {
		condition = "true"
	}
	rows, err := db.QueryContext(ctx, selectMemories+`AND `+condition+` ORDER BY created_at, id`, append([]any{workspace}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	memories := []Memory{}
	for rows.Next() {
		var m Memory
		err := rows.Scan(&m.ID, &m.Text, &m.User, &m.Agent, &m.Session, &m.Priority, &m.Status, (*pq.StringArray)(&m.Categories), &m.Metadata,
			&m.Workspace, &m.AccessCount, &m.Accessed, &m.Created, &m.Updated)
		if err == nil {
			m.Metadata, err = canonical(m.Metadata)
		}
		if err != nil {
			return nil, err
		}
		memories = append(memories, m)
	}
	return memories, rows.Err()
}

// canonical returns JSON in a form in which equal values are equal texts: without spaces, with
// sorted keys, and with unchanged numbers. For the JSON value null it returns nil, which stands for
// NULL, because the files do not distinguish the two.
func canonical(text *string) (*string, error) {
	if text == nil {
		return nil, nil
	}
	decoder := json.NewDecoder(strings.NewReader(*text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("%w in the JSON %q", err, *text)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value in the JSON %q", *text)
	}
	if value == nil {
		return nil, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	same := out.String()
	return &same, err
}
