package memory

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/workshop/pgtest"
)

// statement matches the statements that an error message tells the operator to run.
var statement = regexp.MustCompile(`run ((?:GRANT [^;]+;\s*)+)`)

// asRole returns a pool of connections to the database at address for a new role with this name. The role must be
// unique among all tests, which share the roles of one server.
func asRole(t *testing.T, address string, admin *sqlx.DB, role string) *sqlx.DB {
	t.Helper()
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %q LOGIN PASSWORD 'x'`, role))
	t.Cleanup(func() { exec(t, admin, fmt.Sprintf(`DROP OWNED BY %q; DROP ROLE %q`, role, role)) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	return pgtest.OpenURL(t, u.String(), 2)
}

func TestAUserWithoutAPrivilegeIsToldTheGrant(t *testing.T) {
	const role = "memory grants" // SQL must quote it
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	db := asRole(t, address, admin, role)
	exec(t, admin, `CREATE SCHEMA "Other"; ALTER TABLE memories SET SCHEMA "Other"; CREATE TABLE partly (LIKE "Other".memories INCLUDING ALL);
		CREATE ROLE "view owner"; GRANT CREATE ON SCHEMA public TO "view owner";
		CREATE VIEW shown AS SELECT * FROM "Other".memories; ALTER VIEW shown OWNER TO "view owner"`)
	t.Cleanup(func() { exec(t, admin, `DROP OWNED BY "view owner"; DROP ROLE "view owner"`) })
	exec(t, admin, fmt.Sprintf(`GRANT SELECT (id, memory) ON partly TO %q; GRANT SELECT ON shown TO %q`, role, role))
	for table, want := range map[string]string{
		"Other.memories": `GRANT USAGE ON SCHEMA "Other" TO "memory grants"; GRANT SELECT ON "Other"."memories" TO "memory grants";`,
		"partly": `GRANT SELECT (access_count, agent_id, categories, created_at, last_accessed_at, metadata, priority, session_id, status, updated_at, user_id, workspace_id) ` +
			`ON public.partly TO "memory grants";`,
	} {
		s, err := NewSource(db, table, SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, s, []string{want})
		if match := statement.FindStringSubmatch(s.Check(t.Context()).Error()); match != nil {
			exec(t, admin, match[1])
		}
		checkMessage(t, s, nil)
		mustExport(t, s, admin)
	}
	s, err := NewSource(db, "shown", SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkMessage(t, s, []string{"the owner of the view"})
	exec(t, admin, fmt.Sprintf(`REVOKE SELECT ON "Other".memories FROM %q`, role))
	if s, err = NewSource(db, "Other.memories", SourceOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), `run GRANT SELECT ON "Other".memories TO "memory grants";`) {
		t.Errorf("without the table alone: %v", err)
	}
}

// mustExport checks that the user of s has the privileges for every statement of an export: those of a plan with samples,
// of a page and of an oversize memory.
func mustExport(t *testing.T, s *Source, admin *sqlx.DB) {
	t.Helper()
	exec(t, admin, `INSERT INTO `+s.table+` (memory, user_id, created_at) SELECT 'text', 'user', '2026-01-01'::timestamptz + i * interval '1 second'
		FROM generate_series(0, $1::int) i`, sampleRows)
	exec(t, admin, `INSERT INTO `+s.table+` (memory, user_id) VALUES (repeat('x', $1), 'user')`, maxText+1)
	user, priority, after := "user", Low, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, f := range map[int]Filter{
		sampleRows + 2: {UserID: &user},
		0:              {UserID: &user, AgentID: &user, SessionID: &user, Priority: &priority, Categories: []string{"c"}, CreatedAfter: &after},
	} {
		q := Query{WorkspaceID: tenant, Filter: f}
		if _, err := s.Plan(t.Context(), q); err != nil {
			t.Errorf("%s: plan with the filter %v: %v", s.name, f.Names(), err)
		}
		if n := len(read(t, s, q, everything, nil)); n != want {
			t.Errorf("%s: read %d memories with the filter %v, want %d", s.name, n, f.Names(), want)
		}
	}
}

func TestAUserUnderRowLevelSecurityIsToldTheRemedy(t *testing.T) {
	const role, owner = "filtered reader", "filtered owner"
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %q; GRANT CREATE ON SCHEMA public TO %[1]q; ALTER TABLE memories OWNER TO %[1]q`, owner))
	t.Cleanup(func() { exec(t, admin, fmt.Sprintf(`DROP OWNED BY %q; DROP ROLE %[1]q`, owner)) })
	db := asRole(t, address, admin, role)
	exec(t, admin, fmt.Sprintf(`GRANT SELECT ON memories TO %q;
		CREATE VIEW of_reader AS SELECT * FROM memories; ALTER VIEW of_reader OWNER TO %[1]q;
		CREATE VIEW of_owner AS SELECT * FROM memories; ALTER VIEW of_owner OWNER TO %[2]q; GRANT SELECT ON of_owner TO %[1]q;
		CREATE VIEW of_invoker WITH (security_invoker = on) AS SELECT * FROM memories; ALTER VIEW of_invoker OWNER TO %[2]q; GRANT SELECT ON of_invoker TO %[1]q`, role, owner))
	const secured = `ALTER TABLE memories ENABLE ROW LEVEL SECURITY; `
	want := func(bypassing string) []string {
		return []string{"row-level security", `table "memories"`, fmt.Sprintf(`run ALTER ROLE %q BYPASSRLS;`, bypassing), "MEMORIES_TABLE to a view"}
	}
	for name, c := range map[string]struct {
		table, ddl string
		want       []string // parts of the message; none if the table passes
	}{
		"no row-level security": {"memories", ``, nil},
		"policies that are off": {"memories", `CREATE POLICY p ON memories USING (false)`, nil},
		"no policy":             {"memories", secured, want(role)},
		"a policy with a setting that may be missing": {"memories", secured + `CREATE POLICY p ON memories USING (workspace_id::text = current_setting('app.workspace', true))`, want(role)},
		"a policy with a setting that must not be":    {"memories", secured + `CREATE POLICY p ON memories USING (workspace_id::text = current_setting('app.workspace'))`, want(role)},
		"a policy that hides nothing":                 {"memories", secured + `CREATE POLICY p ON memories USING (true)`, want(role)},
		"no privilege either":                         {"memories", secured + fmt.Sprintf(`REVOKE SELECT ON memories FROM %q`, role), want(role)},
		"a role that bypasses it":                     {"memories", secured + fmt.Sprintf(`ALTER ROLE %q BYPASSRLS`, role), nil},
		"a view of the reader":                        {"of_reader", secured, want(role)},
		"a view of the table's owner":                 {"of_owner", secured, nil},
		"a view of the table's owner, forced":         {"of_owner", secured + `ALTER TABLE memories FORCE ROW LEVEL SECURITY`, want(owner)},
		"a view of an owner that bypasses it, forced": {"of_owner", secured + fmt.Sprintf(`ALTER TABLE memories FORCE ROW LEVEL SECURITY; ALTER ROLE %q BYPASSRLS`, owner), nil},
		"a view that reads with its user's rights":    {"of_invoker", secured, want(role)},
		"the same with a user that bypasses it":       {"of_invoker", secured + fmt.Sprintf(`ALTER ROLE %q BYPASSRLS`, role), nil},
		"the same without row-level security":         {"of_invoker", ``, nil},
		"a view with a table of which rows are hidden": {"joined", fmt.Sprintf(`CREATE TABLE known (workspace uuid); ALTER TABLE known ENABLE ROW LEVEL SECURITY; GRANT SELECT ON known TO %q;
			CREATE VIEW joined AS SELECT * FROM memories WHERE workspace_id IN (SELECT workspace FROM known); ALTER VIEW joined OWNER TO %[1]q`, role),
			[]string{"row-level security", `table "known"`, fmt.Sprintf(`run ALTER ROLE %q BYPASSRLS;`, role)}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ddl != "" {
				exec(t, admin, c.ddl)
			}
			t.Cleanup(func() {
				exec(t, admin, fmt.Sprintf(`DROP POLICY IF EXISTS p ON memories; ALTER TABLE memories DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
					ALTER ROLE %q NOBYPASSRLS; ALTER ROLE %q NOBYPASSRLS; GRANT SELECT ON memories TO %[1]q`, role, owner))
			})
			checkMessage(t, source(t, db, c.table), c.want)
		})
	}
}

// Row-level security may be enabled during an export. Everything that the reader does next must fail, because Postgres
// would otherwise leave out memories without an error.
func TestRowLevelSecurityThatIsEnabledLaterFailsReading(t *testing.T) {
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	s := source(t, asRole(t, address, admin, "filtered later"), "memories")
	exec(t, admin, `GRANT SELECT ON memories TO "filtered later";
		INSERT INTO memories (memory, user_id, created_at) SELECT 'text', 'user', '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 3) i`)
	first := keys(t, admin, tenant)[0]
	user := "user"
	for _, q := range []Query{{WorkspaceID: tenant}, {WorkspaceID: tenant, Filter: Filter{UserID: &user}}} {
		visited := 0
		visit := func(*Memory) error {
			visited++
			return &Pause{Wait: func() error { // the reader holds no lock while it pauses
				exec(t, admin, `ALTER TABLE memories ENABLE ROW LEVEL SECURITY`)
				return nil
			}}
		}
		if err := s.Read(t.Context(), q, everything, nil, visit); !isFiltered(err) || visited != 1 {
			t.Errorf("Read visited %d memories and returns %v", visited, err)
		}
		if ranges, err := s.Plan(t.Context(), q); !isFiltered(err) {
			t.Errorf("Plan returns %v, %v", ranges, err)
		}
		if err := s.readOversize(t.Context(), q, first, visit); !isFiltered(err) || visited != 1 {
			t.Errorf("after %d memories, readOversize returns %v", visited, err)
		}
		exec(t, admin, `ALTER TABLE memories DISABLE ROW LEVEL SECURITY`)
	}
}
