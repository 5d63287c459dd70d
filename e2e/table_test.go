package e2e

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/lib/pq"

	"memexport/internal/workshop/parse"
)

// memory is a row of the table, or a memory that was parsed from a file.
type memory = parse.Memory

// table returns the workspace's memories that match the condition, in the order of an export. The
// parameters of the condition start at $2. An empty condition matches all memories.
func table(t *testing.T, db *sql.DB, workspace, condition string, args ...any) []memory {
	t.Helper()
	memories, err := parse.Table(t.Context(), db, workspace, condition, args...)
	if err != nil {
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
	in, err := tx.Prepare(`COPY memories (` + strings.Join(parse.Columns, ", ") + `) FROM STDIN`)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range memories {
		if _, err := in.Exec(m.ID, m.Text, m.User, m.Agent, m.Session, m.Priority, m.Status, pq.Array(m.Categories), m.Metadata,
			m.Workspace, m.AccessCount, m.Accessed, m.Created, m.Updated); err != nil {
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

// compare fails the test unless the memories in the file, got, are the same as those in want and in
// the same order.
func compare(t *testing.T, file string, got, want []memory) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d memories, want %d", file, len(got), len(want))
	}
	wrong := 0
	for i := range min(len(got), len(want)) {
		g, w := got[i].Fields(), want[i].Fields()
		for f, column := range parse.Columns {
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
