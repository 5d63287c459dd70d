package memory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lib/pq"

	"memexport/internal/workshop/pgtest"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// The tests of this file run the SQL of docs/adopting.md. Each block there begins with a comment that
// names it.

const (
	adoptingPage = "../../../docs/adopting.md"
	workspace    = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"
	view         = "export_memories"
)

func TestATableWithOtherColumnNamesIsExportedThroughAView(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.run("renamed: the existing table")
	a.exec(`INSERT INTO assistant.facts VALUES
		('00000000-0000-4000-8000-000000000002', '` + workspace + `', 'likes "tea"', 'alice', '{a,"b c"}', '{"z": 1, "a": 2}', '2026-01-02T10:00:00+02', '2026-01-03T00:00:00Z'),
		('00000000-0000-4000-8000-000000000001', '` + workspace + `', 'works at night', NULL, NULL, NULL, '2026-01-01T00:00:00.000001Z', NULL),
		('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-00000000000f', 'of another team', 'alice', NULL, NULL, '2026-01-01', NULL)`)
	a.run("renamed: the view", "renamed: the index")
	a.wantFiles(`[
		{"id":"00000000-0000-4000-8000-000000000001","memory":"works at night","user_id":null,"agent_id":null,"session_id":null,
		"priority":"MEDIUM","status":"COMPLETED","categories":null,"metadata":null,"workspace_id":"` + workspace + `","access_count":0,
		"last_accessed_at":null,"created_at":"2026-01-01T00:00:00.000001Z","updated_at":"2026-01-01T00:00:00.000001Z"},
		{"id":"00000000-0000-4000-8000-000000000002","memory":"likes \"tea\"","user_id":"alice","agent_id":null,"session_id":null,
		"priority":"MEDIUM","status":"COMPLETED","categories":["a","b c"],"metadata":{"a": 2, "z": 1},"workspace_id":"` + workspace + `","access_count":0,
		"last_accessed_at":null,"created_at":"2026-01-02T08:00:00.000000Z","updated_at":"2026-01-03T00:00:00.000000Z"}]`)
	a.wantIndexed()
	a.wantUnexportable(0)
}

func TestAViewMayComputeTheKey(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.run("computed: the existing table")
	a.exec(`INSERT INTO notes (org, body, made_at) VALUES ('` + workspace + `', 'second', '2026-01-02 10:00'), ('` + workspace + `', 'first', '2026-01-01 10:00'),
		('00000000-0000-4000-8000-00000000000f', 'of another org', '2026-01-01')`)
	a.run("computed: the view", "computed: the index")
	var ids []string
	if err := a.db.Select(&ids, `SELECT md5('notes:' || n)::uuid::text FROM generate_series(1, 2) n ORDER BY n`); err != nil {
		t.Fatal(err)
	}
	const rest = `"user_id":null,"agent_id":null,"session_id":null,"priority":null,"status":"COMPLETED","categories":null,"metadata":{"note_id": %d},
		"workspace_id":"` + workspace + `","access_count":0,"last_accessed_at":null,"created_at":"%[2]s","updated_at":"%[2]s"}`
	a.wantFiles(`[{"id":"` + ids[1] + `","memory":"first",` + fmt.Sprintf(rest, 2, "2026-01-01T10:00:00.000000Z") +
		`,{"id":"` + ids[0] + `","memory":"second",` + fmt.Sprintf(rest, 1, "2026-01-02T10:00:00.000000Z") + `]`)
	a.wantIndexed()
	a.wantUnexportable(0)
}

func TestAJSONPayloadIsExportedThroughAView(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	// The test database lacks the extension pgvector, so the column of type vector becomes real[].
	// The view does not use this column.
	a.exec(strings.Replace(a.blocks["payload: the existing table"], "vector(1536)", "real[]", 1))
	a.exec(`INSERT INTO mem0 VALUES
		('00000000-0000-4000-8000-000000000002', '{0.5}', '{"data": "likes tea", "hash": "d41d8", "user_id": "alice", "agent_id": "helper", "run_id": "run-1",
			"categories": ["food"], "source": {"chat": 7}, "created_at": "2026-01-02T03:04:05.678901-08:00", "updated_at": "2026-01-04T00:00:00+00:00"}'),
		('00000000-0000-4000-8000-000000000001', '{0.5}', '{"data": "works at night", "hash": "x", "created_at": "2026-01-01T00:00:00"}'),
		('00000000-0000-4000-8000-000000000003', '{0.5}', '{"data": "without a time", "hash": "y"}')`)
	a.run("payload: the view", "payload: the index")
	want := `[
		{"id":"00000000-0000-4000-8000-000000000003","memory":"without a time","user_id":null,"agent_id":null,"session_id":null,
		"priority":null,"status":"COMPLETED","categories":null,"metadata":{},"workspace_id":"` + workspace + `","access_count":0,
		"last_accessed_at":null,"created_at":"1970-01-01T00:00:00.000000Z","updated_at":"1970-01-01T00:00:00.000000Z"},
		{"id":"00000000-0000-4000-8000-000000000001","memory":"works at night","user_id":null,"agent_id":null,"session_id":null,
		"priority":null,"status":"COMPLETED","categories":null,"metadata":{},"workspace_id":"` + workspace + `","access_count":0,
		"last_accessed_at":null,"created_at":"2026-01-01T00:00:00.000000Z","updated_at":"2026-01-01T00:00:00.000000Z"},
		{"id":"00000000-0000-4000-8000-000000000002","memory":"likes tea","user_id":"alice","agent_id":"helper","session_id":"run-1",
		"priority":null,"status":"COMPLETED","categories":["food"],"metadata":{"source": {"chat": 7}},"workspace_id":"` + workspace + `","access_count":0,
		"last_accessed_at":null,"created_at":"2026-01-02T11:04:05.678901Z","updated_at":"2026-01-04T00:00:00.000000Z"}]`
	a.wantFiles(want)
	a.wantIndexed()
	a.wantUnexportable(0)
	a.run("payload: a stored time")
	var stored int
	if err := a.db.Get(&stored, `SELECT count(*) FROM mem0 JOIN export_memories USING (id) WHERE exported_at = created_at`); err != nil || stored != 3 {
		t.Errorf("%d stored times are right: %v", stored, err)
	}
	// The SQL declares the function IMMUTABLE, so the settings of a session must not change its
	// result.
	a.exec(`ALTER DATABASE ` + databaseName(a) + ` SET TimeZone = 'Asia/Kathmandu'; ALTER DATABASE ` + databaseName(a) + ` SET DateStyle = 'German'`)
	a.db = pgtest.OpenURL(t, a.url, 2)
	a.wantFiles(want)
	if _, err := a.db.Exec(`INSERT INTO mem0 VALUES (gen_random_uuid(), NULL, '{"created_at": "yesterday evening"}')`); err == nil {
		t.Error("the index accepts a time that is not a timestamp")
	}
	_, err := a.db.Exec(`CREATE INDEX ON mem0 (((payload->>'created_at')::timestamptz), id)`)
	var refusal *pq.Error
	if !errors.As(err, &refusal) || !strings.Contains(readPage(t), refusal.Message) {
		t.Errorf("%s does not quote the error %v", adoptingPage, err)
	}
}

func TestReadingAViewTakesThePermissionsOnThePage(t *testing.T) {
	a := newAdoption(t)
	a.run("renamed: the existing table", "renamed: the view", "renamed: the index")
	a.Cleanup(func() { a.exec(`DROP OWNED BY memexport_reader; DROP ROLE memexport_reader`) })
	create, grants, _ := strings.Cut(a.blocks["permissions"], "\n")
	a.exec(create)
	reader := pgtest.OpenURL(t, withRole(a.url, "memexport_reader"), 2)
	const message = "it cannot be read: pq: permission denied for view export_memories"
	if err := a.source(reader, view).Check(t.Context()); err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(readPage(t), message) {
		t.Errorf("without grants: %v", err)
	}
	a.exec(grants)
	if got := a.export(reader, format.JSON); got != "[\n]\n" {
		t.Errorf("with the grants, the export of nothing is %q", got)
	}
}

func TestRowLevelSecurityTakesWhatThePageSays(t *testing.T) {
	a := newAdoption(t)
	a.run("renamed: the existing table", "renamed: the view", "renamed: the index")
	a.Cleanup(func() { a.exec(`DROP OWNED BY memexport_reader; DROP ROLE memexport_reader`) })
	a.run("permissions")
	a.exec(`ALTER VIEW export_memories SET (security_invoker = on); GRANT USAGE ON SCHEMA assistant TO memexport_reader;
		GRANT SELECT ON assistant.facts TO memexport_reader; ALTER TABLE assistant.facts ENABLE ROW LEVEL SECURITY;
		INSERT INTO assistant.facts VALUES (gen_random_uuid(), '` + workspace + `', 'likes tea', NULL, NULL, NULL, now(), NULL)`)
	reader := pgtest.OpenURL(t, withRole(a.url, "memexport_reader"), 2)
	const message = "row-level security may hide memories from exports"
	if err := a.source(reader, view).Check(t.Context()); err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(readPage(t), message) {
		t.Errorf("with row-level security: %v", err)
	}
	wantExported := func() {
		t.Helper()
		if got := a.export(reader, format.JSON); !strings.Contains(got, "likes tea") {
			t.Errorf("the export is %q", got)
		}
	}
	a.run("row-level security: a role that bypasses it")
	wantExported()
	a.exec(`ALTER ROLE memexport_reader NOBYPASSRLS; ALTER VIEW export_memories RESET (security_invoker)`) // the owner of the view owns the table too
	wantExported()
}

func TestThePageQuotesTheMessagesOfTheStart(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.run("renamed: the existing table", "renamed: the view", "renamed: the index")
	definition := a.blocks["renamed: the view"]
	for _, c := range []struct{ old, changed, message string }{
		{"'MEDIUM'::text                    AS priority", "'x' AS other", "column priority is missing: it must be text or enum"},
		{"NULL::timestamptz", "NULL", "column last_accessed_at is text: it must be timestamp with time zone"},
		{"tags::text[]", "tags", "column categories is character varying[]: it must be text[]"},
		{"extra::jsonb", "extra", "column metadata is json: it must be jsonb"},
		{"VIEW export_memories", "VIEW other", `there is no table or view "export_memories" in the memories database`},
	} {
		a.exec(`DROP VIEW export_memories`)
		a.exec(strings.Replace(definition, c.old, c.changed, 1))
		err := a.source(a.db, view).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(readPage(t), "`"+c.message) {
			t.Errorf("%s: Check returns %v", c.message, err)
		}
	}
}

func TestAViewNeedsNoIndexToStart(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.run("renamed: the existing table", "renamed: the view")
	if err := a.source(a.db, view).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNULLWhereAValueIsRequiredFailsTheExport(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.run("renamed: the existing table")
	a.exec(`INSERT INTO assistant.facts (fact_id, team_id, content, inserted_at) VALUES (gen_random_uuid(), '` + workspace + `', 'm', now())`)
	definition := a.blocks["renamed: the view"]
	for expression, null := range map[string]string{
		"fact_id                           AS id":           "NULL::uuid AS id",
		"inserted_at                       AS created_at":   "NULL::timestamptz AS created_at",
		"coalesce(changed_at, inserted_at) AS updated_at":   "changed_at AS updated_at",
		"0                                 AS access_count": "NULL::int AS access_count",
	} {
		a.exec(`DROP VIEW IF EXISTS export_memories`)
		a.exec(strings.Replace(definition, expression, null, 1))
		a.wantUnexportable(1)
		const message = "unreadable memory: id, access_count, created_at or updated_at is NULL"
		if err := a.readAll(); !errors.Is(err, memory.ErrUnreadable) || !strings.Contains(err.Error(), message) || !strings.Contains(readPage(t), message) {
			t.Errorf("%s: %v", null, err)
		}
	}
}
