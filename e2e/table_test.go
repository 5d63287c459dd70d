package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lib/pq"
)

// memory is a row of the table, or a memory that was parsed from a file. Times are texts in the
// format that the files use.
type memory struct {
	id                         string
	text                       *string
	user, agent, session       *string
	priority, status           string
	categories                 []string
	metadata                   *string // in the form that canonical returns
	workspace                  string
	accessCount                int64
	accessed, created, updated *string
}

// columns are the columns of a memory, in their order in the files.
var columns = []string{"id", "memory", "user_id", "agent_id", "session_id", "priority", "status", "categories", "metadata",
	"workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at"}

// fields returns the memory's values as texts, in the order of columns. Equal values have equal
// texts, and different values have different texts.
func (m *memory) fields() []string {
	return []string{m.id, optional(m.text), optional(m.user), optional(m.agent), optional(m.session), m.priority, m.status,
		list(m.categories), optional(m.metadata), m.workspace, fmt.Sprint(m.accessCount),
		optional(m.accessed), optional(m.created), optional(m.updated)}
}

// optional formats a text that may be NULL. The result for NULL differs from the result for any text.
func optional(s *string) string {
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

// table returns the workspace's memories that match the condition, in the order of an export. The
// parameters of the condition start at $2. An empty condition matches all memories.
func table(t *testing.T, db *sql.DB, workspace, condition string, args ...any) []memory {
	t.Helper()
	if condition == "" {
		condition = "true"
	}
	rows, err := db.QueryContext(t.Context(), selectMemories+`AND `+condition+` ORDER BY created_at, id`, append([]any{workspace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	memories := []memory{}
	for rows.Next() {
		var m memory
		err := rows.Scan(&m.id, &m.text, &m.user, &m.agent, &m.session, &m.priority, &m.status, (*pq.StringArray)(&m.categories), &m.metadata,
			&m.workspace, &m.accessCount, &m.accessed, &m.created, &m.updated)
		if err == nil {
			m.metadata, err = canonical(m.metadata)
		}
		if err != nil {
			t.Fatal(err)
		}
		memories = append(memories, m)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return memories
}

// insert adds memories to the table with COPY.
func insert(t *testing.T, db *sql.DB, memories []memory) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	in, err := tx.Prepare(`COPY memories (` + strings.Join(columns, ", ") + `) FROM STDIN`)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range memories {
		if _, err := in.Exec(m.id, m.text, m.user, m.agent, m.session, m.priority, m.status, pq.Array(m.categories), m.metadata,
			m.workspace, m.accessCount, m.accessed, m.created, m.updated); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Exec(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `ANALYZE memories`)
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

// compare fails the test unless the memories in the file, got, are the same as those in want and in
// the same order.
func compare(t *testing.T, file string, got, want []memory) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d memories, want %d", file, len(got), len(want))
	}
	wrong := 0
	for i := range min(len(got), len(want)) {
		g, w := got[i].fields(), want[i].fields()
		for f, column := range columns {
			if g[f] == w[f] {
				continue
			}
			if wrong++; wrong > 5 {
				t.Fatalf("%s: and so on", file)
			}
			t.Errorf("%s: memory %d (%s): %s is\n%s, want\n%s", file, i, w[0], column, short(g[f]), short(w[f]))
		}
	}
}
