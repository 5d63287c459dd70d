package memory

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"memexport/internal/workshop/pgtest"
)

// statement matches the statements that an error message tells the operator to run.
var statement = regexp.MustCompile(`run ((?:GRANT [^;]+;\s*)+)`)

func TestAUserWithoutAPrivilegeIsToldTheGrant(t *testing.T) {
	const role = "memory grants" // unique among all tests, which share the roles of one server; SQL must quote it
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %q LOGIN PASSWORD 'x'`, role))
	t.Cleanup(func() { exec(t, admin, fmt.Sprintf(`DROP OWNED BY %q; DROP ROLE %q`, role, role)) })
	exec(t, admin, `CREATE SCHEMA "Other"; ALTER TABLE memories SET SCHEMA "Other"; CREATE TABLE partly (LIKE "Other".memories INCLUDING ALL);
		CREATE ROLE "view owner"; GRANT CREATE ON SCHEMA public TO "view owner";
		CREATE VIEW shown AS SELECT * FROM "Other".memories; ALTER VIEW shown OWNER TO "view owner"`)
	t.Cleanup(func() { exec(t, admin, `DROP OWNED BY "view owner"; DROP ROLE "view owner"`) })
	exec(t, admin, fmt.Sprintf(`GRANT SELECT (id, memory) ON partly TO %q; GRANT SELECT ON shown TO %q`, role, role))
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	db := pgtest.OpenURL(t, u.String(), 2)
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
