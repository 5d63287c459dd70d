package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// login creates a role that may do nothing, and opens the database as that role.
func login(t *testing.T, admin *sqlx.DB, address, role string) *sqlx.DB {
	t.Helper()
	admin.MustExec(fmt.Sprintf(`CREATE ROLE %q LOGIN PASSWORD 'x'`, role))
	t.Cleanup(func() { admin.MustExec(fmt.Sprintf(`DROP OWNED BY %q; DROP ROLE %q`, role, role)) })
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	return pgtest.OpenURL(t, u.String(), 2)
}

func TestMissingGrantsAreNamedAsStatementsThatRepairThem(t *testing.T) {
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	if err := postgres.CheckGrants(t.Context(), login(t, admin, address, "newcomer"), postgres.APIRole); err != nil {
		t.Error("without the schema:", err)
	}
	if _, err := postgres.Migrate(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	for role, statements := range map[string]int{postgres.APIRole: 6, postgres.WorkerRole: 6} {
		user := "o'neil " + role // unique among all tests, which share the roles of one server; SQL must quote it
		db := login(t, admin, address, user)
		missing := func() []string {
			t.Helper()
			err := postgres.CheckGrants(t.Context(), db, role)
			if err == nil {
				return nil
			}
			if !strings.Contains(err.Error(), "DATABASE_URL") || !strings.Contains(err.Error(), "memexport migrate") {
				t.Errorf("the message is %v", err)
			}
			return strings.Split(err.Error(), "\n  ")[1:]
		}
		all := missing()
		if len(all) != statements {
			t.Fatalf("%s lacks %d statements, want %d: %q", role, len(all), statements, all)
		}
		for _, statement := range all {
			admin.MustExec(statement)
		}
		if left := missing(); left != nil {
			t.Errorf("%s still lacks %q", role, left)
		}
		// Revoke each statement in turn: CheckGrants must then ask for it.
		for _, statement := range all {
			admin.MustExec(strings.Replace(strings.Replace(statement, "GRANT ", "REVOKE ", 1), " TO ", " FROM ", 1))
			if left := missing(); len(left) != 1 || left[0] != statement {
				t.Errorf("without %s, %s lacks %q", statement, role, left)
			}
			admin.MustExec(statement)
		}
		// One column is not enough where several are needed.
		if role == postgres.APIRole {
			admin.MustExec(fmt.Sprintf(`REVOKE UPDATE (deleted_at) ON memexport.exports FROM %q`, user))
			if left := missing(); len(left) != 1 || !strings.Contains(left[0], "UPDATE (deleted_at, updated_at)") {
				t.Errorf("without a column, it lacks %q", left)
			}
		}
	}
	if err := postgres.CheckGrants(t.Context(), admin, postgres.WorkerRole); err != nil {
		t.Error("a superuser:", err)
	}
}

func TestAMigrationWithoutPrivilegesSaysWhatToDo(t *testing.T) {
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	migrator, other := login(t, admin, address, "o'neil migrator"), login(t, admin, address, "other")
	_, err := postgres.Migrate(t.Context(), migrator)
	if err == nil {
		t.Fatal("without CREATE on the database:", err)
	}
	_, grant, _ := strings.Cut(err.Error(), "as an administrator of the database, run ")
	admin.MustExec(grant)
	if _, err := postgres.Migrate(t.Context(), migrator); err != nil {
		t.Fatal("after "+grant, err)
	}
	admin.MustExec(strings.Replace(strings.Replace(grant, "GRANT", "REVOKE", 1), " TO ", " FROM ", 1))
	admin.MustExec(`DROP SCHEMA memexport CASCADE; CREATE SCHEMA memexport AUTHORIZATION "o'neil migrator"`)
	if _, err := postgres.Migrate(t.Context(), migrator); err != nil {
		t.Error("the owner of the schema without CREATE on the database:", err)
	}
	_, err = postgres.Migrate(t.Context(), other)
	wantError(t, err, `set DATABASE_URL to the role "o'neil migrator", which owns the schema memexport, or make "other" the owner`, "docs/security.md")
	_, err = postgres.Migrate(t.Context(), pgtest.OpenURL(t, pgtest.New(t)+"&default_transaction_read_only=on", 2))
	wantError(t, err, "the database in DATABASE_URL is read-only")
	if !postgres.ReadOnly(err) {
		t.Error("ReadOnly does not recognize the error:", err)
	}
}
