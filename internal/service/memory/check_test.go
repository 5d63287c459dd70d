package memory

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/workshop/pgtest"
)

// index returns statements that drop the keyset index and then run the statement replacement.
func index(replacement string) string {
	return `DROP INDEX memories_workspace_id_created_at_id_idx; ` + replacement
}

func TestCheckNamesTheProblemAndTheRemedy(t *testing.T) {
	const missingIndex = `CREATE INDEX CONCURRENTLY ON "memories" (workspace_id, created_at, id)`
	for name, c := range map[string]struct {
		ddl  string
		want []string // parts of the message; none if the table passes
	}{
		"the right table":          {``, nil},
		"no index":                 {index(``), []string{missingIndex}},
		"a partial index":          {index(`CREATE INDEX ON memories (workspace_id, created_at, id) WHERE status = 'COMPLETED'`), []string{missingIndex}},
		"columns in another order": {index(`CREATE INDEX ON memories (created_at, workspace_id, id)`), []string{missingIndex}},
		"too few columns":          {index(`CREATE INDEX ON memories (workspace_id, created_at)`), []string{missingIndex}},
		"id included only":         {index(`CREATE INDEX ON memories (workspace_id, created_at) INCLUDE (id)`), []string{missingIndex}},
		"an expression":            {index(`CREATE INDEX ON memories (workspace_id, date_trunc('day', created_at AT TIME ZONE 'UTC'), created_at, id)`), []string{missingIndex}},
		"a BRIN index":             {index(`CREATE INDEX ON memories USING brin (workspace_id, created_at, id)`), []string{missingIndex}},
		"opposite directions":      {index(`CREATE INDEX ON memories (workspace_id, created_at DESC, id)`), []string{missingIndex}},
		"NULLs first":              {index(`CREATE INDEX ON memories (workspace_id, created_at NULLS FIRST, id)`), []string{missingIndex}},
		"an index that failed":     {`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memories_workspace_id_created_at_id_idx'::regclass`, []string{missingIndex}},
		"a longer index":           {index(`CREATE INDEX ON memories (workspace_id, created_at, id, user_id)`), nil},
		"an index backwards":       {index(`CREATE INDEX ON memories (workspace_id, created_at DESC, id DESC)`), nil},
		"a unique index":           {index(`CREATE UNIQUE INDEX ON memories (workspace_id, created_at, id)`), nil},
		"several columns at once": {`ALTER TABLE memories DROP metadata, ALTER user_id TYPE int USING 1, DROP agent_id`,
			[]string{"column metadata is missing: it must be jsonb", "column agent_id is missing: it must be text", "column user_id is integer: it must be text"}},
		"a view needs no index": {index(`ALTER TABLE memories RENAME TO base; CREATE VIEW memories AS SELECT * FROM base`), nil},
		"a view with a wrong type": {`ALTER TABLE memories RENAME TO base; CREATE VIEW memories AS SELECT id::text, memory, user_id, agent_id, session_id, priority, status,
			categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM base`, []string{"column id is text: it must be uuid"}},
		"a view that fails": {`ALTER TABLE memories RENAME TO base; CREATE VIEW memories AS SELECT id, memory, user_id, agent_id, session_id, priority, status,
			categories, metadata, workspace_id, 1 / 0 AS access_count, last_accessed_at, created_at, updated_at FROM base`, []string{`"memories" cannot be exported: pq: division by zero`}},
		"a timestamp without zone": {`ALTER TABLE memories ALTER updated_at TYPE timestamp`, []string{"column updated_at is timestamp without time zone: it must be timestamp with time zone"}},
		"json instead of jsonb":    {`ALTER TABLE memories ALTER metadata TYPE json`, []string{"column metadata is json: it must be jsonb"}},
		"varchar categories":       {`ALTER TABLE memories ALTER categories TYPE varchar[]`, []string{"column categories is character varying[]: it must be text[]"}},
		"an enum for a user":       {`CREATE TYPE e AS ENUM ('a'); ALTER TABLE memories ALTER user_id TYPE e USING 'a'::e`, []string{"column user_id is enum: it must be text"}},
		"no table":                 {`DROP TABLE memories`, []string{`no table or view "memories"`, "MEMORIES_TABLE", "MEMORIES_DATABASE_URL"}},
		"a table in another case":  {`ALTER TABLE memories RENAME TO "Memories"`, []string{`no table or view "memories"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := open(t)
			if c.ddl != "" {
				exec(t, db, c.ddl)
			}
			checkMessage(t, s, c.want)
		})
	}
}

func checkMessage(t *testing.T, s *Source, want []string) {
	t.Helper()
	err := s.Check(t.Context())
	if len(want) == 0 && err != nil {
		t.Error("Check:", err)
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("the message does not contain %q: %v", w, err)
		}
	}
}

func TestCheckNamesEveryMissingColumn(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, column := range Columns {
		exec(t, db, `ALTER TABLE memories RENAME `+column+` TO renamed`)
		checkMessage(t, s, []string{"column " + column + " is missing: it must be " + columnTypes[column][0]})
		exec(t, db, `ALTER TABLE memories RENAME renamed TO `+column)
	}
	checkMessage(t, s, nil)
}

func TestCheckNamesEveryWrongType(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, column := range Columns {
		exec(t, db, `ALTER TABLE memories RENAME `+column+` TO renamed; ALTER TABLE memories ADD `+column+` bytea`)
		checkMessage(t, s, []string{"column " + column + " is bytea: it must be " + columnTypes[column][0]})
		exec(t, db, `ALTER TABLE memories DROP `+column+`; ALTER TABLE memories RENAME renamed TO `+column)
	}
}

func TestCheckRejectsADatabaseWithoutAnEncoding(t *testing.T) {
	url := pgtest.New(t)
	admin := pgtest.OpenURL(t, url, 1)
	exec(t, admin, `CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`)
	t.Cleanup(func() { exec(t, admin, `DROP DATABASE ascii WITH (FORCE)`) })
	var name string
	if err := admin.Get(&name, `SELECT current_database()`); err != nil {
		t.Fatal(err)
	}
	db := pgtest.OpenURL(t, strings.Replace(url, "/"+name, "/ascii", 1), 1)
	exec(t, db, schema)
	checkMessage(t, source(t, db, "memories"), []string{"SQL_ASCII", "UTF8"})
}

func TestNewSourceAcceptsOnlyTableNames(t *testing.T) {
	for _, name := range []string{"", " ", "a b", "a.b.c", "a.", ".a", `a"`, "a;b", "a'", "1a", "a\n", "a--", "ä"} {
		if _, err := NewSource(&sqlx.DB{}, name, SourceOptions{}); err == nil || !strings.Contains(err.Error(), "schema.table") {
			t.Errorf("NewSource(%q): %v", name, err)
		}
	}
	for _, name := range []string{"memories", "public.memories", "A.b", "_", "a$1"} {
		if _, err := NewSource(&sqlx.DB{}, name, SourceOptions{}); err != nil {
			t.Errorf("NewSource(%q): %v", name, err)
		}
	}
}
