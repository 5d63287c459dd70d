package memory

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/workshop/pgtest"
)

const (
	tenant   = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"
	stranger = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b23"
)

// schema creates the least strict table that passes Check: every column may be NULL unless Check
// forbids it. The columns after updated_at are extra. Their names collide with names that the queries
// use.
const schema = `
	CREATE TABLE memories (
		id uuid NOT NULL DEFAULT gen_random_uuid(), memory text, user_id text, agent_id text, session_id text,
		priority text, status text, categories text[], metadata jsonb, workspace_id uuid NOT NULL DEFAULT '` + tenant + `',
		access_count int NOT NULL DEFAULT 0, last_accessed_at timestamptz,
		created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT '2026-01-02T03:04:05.678901Z',
		body text DEFAULT 'body', i int DEFAULT 7, m text DEFAULT 'm', raw text, deleted_at timestamptz
	);
	CREATE INDEX ON memories (workspace_id, created_at, id);`

func TestMain(m *testing.M) {
	pgtest.Main(m, func(ctx context.Context, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, schema)
		return err
	})
}

// open returns a source for the table memories and a pool of connections for the test itself. The
// source has a pool of two connections, which must be enough for one reader.
func open(tb testing.TB) (*Source, *sqlx.DB) {
	tb.Helper()
	url := pgtest.New(tb)
	return source(tb, pgtest.OpenURL(tb, url, 2), "memories"), pgtest.OpenURL(tb, url, 4)
}

func source(tb testing.TB, db *sqlx.DB, table string) *Source {
	tb.Helper()
	return sourceWith(tb, db, table, SourceOptions{})
}

func sourceWith(tb testing.TB, db *sqlx.DB, table string, o SourceOptions) *Source {
	tb.Helper()
	s, err := NewSource(db, table, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// with returns a source for the same table with other options.
func (s *Source) with(tb testing.TB, o SourceOptions) *Source {
	tb.Helper()
	return sourceWith(tb, s.db, s.name, o)
}

func exec(tb testing.TB, db *sqlx.DB, statement string, args ...any) {
	tb.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// everything is the range of all keys.
var everything = Range{
	First: Key{CreatedAt: NegativeInfinity, ID: "00000000-0000-0000-0000-000000000000"},
	Last:  Key{CreatedAt: Infinity, ID: "ffffffff-ffff-ffff-ffff-ffffffffffff"},
}

func rangeOf(first, last Key) Range { return Range{First: first, Last: last} }

// read calls Read and returns one line for each memory that it visits.
func read(tb testing.TB, s *Source, q Query, r Range, after *Key) []string {
	tb.Helper()
	var lines []string
	err := s.Read(context.Background(), q, r, after, func(m *Memory) error {
		text, err := whole(m)
		lines = append(lines, line(m, text))
		return err
	})
	if err != nil {
		tb.Fatal("read:", err)
	}
	return lines
}

// whole returns the text of a memory, all pieces together.
func whole(m *Memory) ([]byte, error) {
	if m.Rest == nil {
		return m.Text, nil
	}
	text := bytes.Clone(m.Text)
	for {
		piece, err := m.Rest()
		if piece == nil || err != nil {
			return text, err
		}
		text = append(text, piece...)
	}
}

// line formats all fields of a memory. Two memories are equal exactly if their lines are equal.
func line(m *Memory, text []byte) string {
	accessed := "NULL"
	if m.LastAccessedAt.Valid {
		accessed = strconv.FormatInt(int64(m.LastAccessedAt.Time), 10)
	}
	return strings.Join([]string{
		string(m.ID), show(text), show(m.UserID), show(m.AgentID), show(m.SessionID), show(m.Priority), show(m.Status),
		show(canonical(m.Categories)), show(m.Metadata), string(m.WorkspaceID), strconv.FormatInt(m.AccessCount, 10), accessed,
		strconv.FormatInt(int64(m.CreatedAt), 10), strconv.FormatInt(int64(m.UpdatedAt), 10),
	}, " | ")
}

// show formats a value. It distinguishes NULL from the empty string, and shortens large values.
func show(b []byte) string {
	switch {
	case b == nil:
		return "NULL"
	case len(b) > 200:
		return fmt.Sprintf("%d bytes %x", len(b), md5.Sum(b))
	}
	return strconv.Quote(string(b))
}

// canonical re-encodes JSON with encoding/json, so that texts that differ only in their escapes
// become equal.
func canonical(text []byte) []byte {
	if text == nil {
		return nil
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	out, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return out
}

// stored selects the rows of a table that match a condition, and returns one line per row, in the
// form and order of the lines that the function read returns. It casts all columns to text in SQL and
// does not use the code under test.
func stored(tb testing.TB, db *sqlx.DB, table, condition string) []string {
	tb.Helper()
	micros := func(column string) string {
		return `('x' || encode(timestamptz_send(` + column + `), 'hex'))::bit(64)::bigint::text`
	}
	rows, err := db.Query(`SELECT id::text, memory::text, user_id::text, agent_id::text, session_id::text, priority::text, status::text,
		array_to_json(categories)::text, metadata::text, workspace_id::text, access_count::text, ` +
		micros("last_accessed_at") + `, ` + micros("created_at") + `, ` + micros("updated_at") +
		` FROM ` + table + ` WHERE ` + condition + ` ORDER BY created_at, id`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var columns [14]*string
		var dest []any
		for i := range columns {
			dest = append(dest, &columns[i])
		}
		if err := rows.Scan(dest...); err != nil {
			tb.Fatal(err)
		}
		lines = append(lines, storedLine(columns))
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return lines
}

func storedLine(columns [14]*string) string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch {
		case c == nil:
			cells[i] = "NULL"
		case Columns[i] == "categories":
			cells[i] = show(canonical([]byte(*c)))
		case slices.Contains([]string{"id", "workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at"}, Columns[i]):
			cells[i] = *c
		default:
			cells[i] = show([]byte(*c))
		}
	}
	return strings.Join(cells, " | ")
}

// same fails the test if the lines differ, and shows the first difference.
func same(tb testing.TB, got, want []string) {
	tb.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			tb.Fatalf("memory %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		tb.Fatalf("read %d memories, want %d", len(got), len(want))
	}
}
