package memory

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// nastyRows inserts, for every column, values that a careless reader would misread.
const nastyRows = `
	INSERT INTO memories (memory, user_id, agent_id, session_id, priority, status, categories, metadata, access_count, last_accessed_at) VALUES
		('', '', '', '', '', '', '{}', '""', 0, NULL),
		('m', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL),
		('', NULL, '', NULL, '', NULL, '{""}', 'null', -1, '-infinity'),
		(NULL, '', NULL, '', NULL, '', '{NULL}', '{}', -2147483648, 'infinity'),
		(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2147483647, '2026-01-15 10:30:00.000001+00');
	INSERT INTO memories (memory, categories)
		SELECT 'categories', c FROM unnest(ARRAY['{a,b}', '{"a,b","c\"d","e\\f"}', '{NULL,"NULL","null",null}', '{{a,b},{c,NULL}}',
			'{{{"}","{"}}}', '[2:3]={x,y}', '[-1:0][5:5]={{"[","="},{" "," "}}', '{" lead","trail ","	tab"}', '{ä,好,😀,"é"}',
			'{true,1,-0}']::text[]) AS literal, LATERAL (SELECT literal::text[] AS c) l WHERE literal !~ '^\[-1';
	INSERT INTO memories (memory, categories) VALUES
		('bounds', '[-1:0][5:6]={{"[","="},{" ","a b"}}'), ('controls', ARRAY[E'\n\r\t\b\f\v\x01\x7f', E'\u2028', E'"\\', repeat('x', 5000)]);
	INSERT INTO memories (memory, metadata)
		SELECT 'metadata', j::jsonb FROM unnest(ARRAY['null', 'true', 'false', '0', '-0', '1.50', '1e400', '12345678901234567890.123456789',
			'"text"', '""', '" \" \\ \n \u0001 \u2028 <>& "', '"好😀"', '[]', '{}', '[1,[2,{"a":null}]]', '{"b":1,"a":2,"b":3}',
			'{"":{"nested":[{"deep":"\u00e9"}]}}']) j;
	INSERT INTO memories (memory, user_id) SELECT v, v FROM unnest(ARRAY['NULL', '\N', 'null', '\x00', '\', '''', '"', 'ä', '好😀', E'e\u0301',
		E'\n', E'\r\n', E'\t', E'\x01\x1f\x7f', ' ', '{', '[]', E'\u0085\u2028\ufeff', '=1+1', repeat('long ', 1000)]) v;
	INSERT INTO memories (memory, created_at, updated_at, last_accessed_at)
		SELECT 'times', v::timestamptz, v::timestamptz, v::timestamptz FROM unnest(ARRAY['infinity', '-infinity', '4714-11-24 00:00:00+00 BC', '0044-03-15 12:00:00+00 BC',
		'0001-01-01 00:00:00+00', '1969-12-31 23:59:59.999999+00', '1999-12-31 23:59:59.999999+00', '2000-01-01 00:00:00+00', '2026-03-29 02:30:00+05:45',
		'9999-12-31 23:59:59.999999+00', '10000-01-01 00:00:00+00', '294276-12-31 23:59:59.999999+00']) v`

func TestEveryValueIsReadAsItIsStored(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, nastyRows)
	want := stored(t, db, "memories", mine)
	for _, rows := range []int{1, 3, 1000} {
		s := s.with(t, SourceOptions{PageRows: rows})
		same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), want)
	}
}

func TestEmptyIsNotNull(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, agent_id, session_id, priority, status, categories) VALUES ('', '', '', '', '', '', '{}')`)
	exec(t, db, `INSERT INTO memories (created_at) VALUES ('infinity')`)
	var seen []string
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		for _, field := range [][]byte{m.Text, m.UserID, m.AgentID, m.SessionID, m.Priority, m.Status, m.Categories, m.Metadata} {
			seen = append(seen, show(field))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `"" "" "" "" "" "" "[]" NULL NULL NULL NULL NULL NULL NULL NULL NULL`
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestValuesOfThePreviousRowDoNotRemain(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, categories, metadata, last_accessed_at, access_count, created_at)
		SELECT repeat('x', 100 * (i % 7)), CASE WHEN i % 2 = 0 THEN 'user ' || i END, CASE WHEN i % 3 = 0 THEN ARRAY['c' || i] END,
			CASE WHEN i % 5 = 0 THEN to_jsonb(i) END, CASE WHEN i % 4 = 0 THEN now() END, i, now() + i * interval '1 second'
		FROM generate_series(1, 3000) i`)
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
}

// variants are other definitions that the memory service's table may have. Each test table holds the
// same rows.
var variants = map[string]struct{ ddl, table string }{
	"a view": {`CREATE VIEW v AS SELECT * FROM memories`, "v"},
	"a view that computes": {`CREATE VIEW v AS SELECT id, memory, user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id,
		access_count * 2 AS access_count, last_accessed_at, created_at, updated_at FROM memories WHERE access_count < 100`, "v"},
	"another schema":                {`CREATE SCHEMA service; ALTER TABLE memories SET SCHEMA service`, "service.memories"},
	"upper case":                    {`ALTER TABLE memories RENAME TO "Memories"`, "Memories"},
	"upper case schema":             {`CREATE SCHEMA "Memory"; ALTER TABLE memories SET SCHEMA "Memory"; ALTER TABLE "Memory".memories RENAME TO "SELECT$1"`, "Memory.SELECT$1"},
	"a table named like its column": {`ALTER TABLE memories RENAME TO memory`, "memory"},
	"enums": {`CREATE TYPE level AS ENUM ('LOW', 'MEDIUM', 'HIGH'); CREATE TYPE state AS ENUM ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED');
		ALTER TABLE memories ALTER priority TYPE level USING priority::level, ALTER status TYPE state USING status::state`, "memories"},
	"varchar": {`ALTER TABLE memories ALTER memory TYPE varchar, ALTER user_id TYPE varchar(50), ALTER agent_id TYPE varchar(50), ALTER session_id TYPE varchar,
		ALTER priority TYPE varchar(6), ALTER status TYPE varchar(20)`, "memories"},
	"int2": {`ALTER TABLE memories ALTER access_count TYPE int2`, "memories"},
	"int8": {`ALTER TABLE memories ALTER access_count TYPE int8; UPDATE memories SET access_count = access_count - 9223372036854775808 WHERE access_count >= 0`, "memories"},
	"partitions": {`ALTER TABLE memories RENAME TO old; CREATE TABLE memories (LIKE old INCLUDING DEFAULTS) PARTITION BY HASH (id);
		CREATE TABLE p0 PARTITION OF memories FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE p1 PARTITION OF memories FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		INSERT INTO memories SELECT * FROM old; CREATE INDEX ON memories (workspace_id, created_at, id)`, "memories"},
}

func TestEveryShapeOfTheTableReadsTheSame(t *testing.T) {
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := open(t)
			addVariantRows(t, db)
			exec(t, db, v.ddl)
			s = sourceWith(t, s.db, v.table, SourceOptions{PageRows: 3})
			if err := s.Check(t.Context()); err != nil {
				t.Fatal("Check:", err)
			}
			want := stored(t, db, s.table, mine)
			if len(want) == 0 {
				t.Fatal("nothing is stored")
			}
			same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), want)
			ranges, err := s.Plan(t.Context(), Query{WorkspaceID: tenant})
			if err != nil || len(ranges) != 1 {
				t.Fatalf("Plan: %v, %v", ranges, err)
			}
			same(t, read(t, s, Query{WorkspaceID: tenant}, ranges[0].Range, nil), want)
			high, user := High, "alice"
			same(t, read(t, s, Query{WorkspaceID: tenant, Filter: Filter{Priority: &high, UserID: &user, Categories: []string{"a"}}}, everything, nil),
				stored(t, db, s.table, mine+" AND priority::text = 'HIGH' AND user_id = 'alice' AND categories && '{a}'"))
		})
	}
}

func addVariantRows(t *testing.T, db *sqlx.DB) {
	t.Helper()
	exec(t, db, `INSERT INTO memories (memory, user_id, priority, status, categories, access_count, created_at)
		SELECT 'm' || i, (ARRAY['alice', 'bob', NULL])[i % 3 + 1], (ARRAY['LOW', 'MEDIUM', 'HIGH', NULL])[i % 4 + 1], (ARRAY['PENDING', 'COMPLETED'])[i % 2 + 1],
			ARRAY[(ARRAY['a', 'b', 'c'])[i % 3 + 1]], i * 11 - 60, now() + (i / 3) * interval '1 second' FROM generate_series(1, 24) i;
		INSERT INTO memories (memory, priority, status, access_count) VALUES (repeat('huge', 300000), 'HIGH', 'FAILED', 32767)`)
}
