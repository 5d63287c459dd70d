package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// These are the names of the roles in grants.sql. An operator may use other names.
const (
	APIRole    = "memexport_api"
	WorkerRole = "memexport_worker"
)

// grantForm matches a statement of grants.sql. Its groups are the privileges, the word SCHEMA if the statement
// is about a schema, the names of the schema or the tables, and the roles.
var grantForm = regexp.MustCompile(`(?m)^GRANT (.+) ON (SCHEMA )?(.+) TO (.+);$`)

// privilegeForm matches a privilege, with or without a list of columns.
var privilegeForm = regexp.MustCompile(`([A-Z]+)(?: \(([a-z_, ]+)\))?`)

// wantedPrivilege is a privilege that a role needs. statement is the index of the statement that grants it.
type wantedPrivilege struct {
	Statement int      `json:"statement"`
	Schema    string   `json:"schema"`
	Table     *string  `json:"table"`   // nil for a privilege on the schema
	Columns   []string `json:"columns"` // nil for all columns
	Word      string   `json:"word"`    // such as SELECT
}

// missingPrivileges selects the statements that grant what the user lacks. It ignores schemas, tables and
// columns that do not exist: no row is found for a missing schema or column, and the CASE is NULL for a missing
// table. It looks the tables up in the catalog, because resolving their names would need a privilege on the
// schema.
const missingPrivileges = `
	SELECT DISTINCT statement
	FROM jsonb_to_recordset($1) AS wanted (statement int, schema text, "table" text, columns text[], word text)
	JOIN pg_namespace ON nspname = wanted.schema
	LEFT JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = wanted.table
	WHERE NOT CASE
		WHEN wanted.table IS NULL THEN has_schema_privilege(pg_namespace.oid, word)
		WHEN columns IS NULL THEN has_table_privilege(pg_class.oid, word)
		ELSE (SELECT bool_and(has_column_privilege(attrelid, attnum, word)) FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = ANY (columns))
	END
	ORDER BY statement`

// CheckGrants returns an error if the user of db lacks privileges that docs/security.md grants to the role. The
// error contains the statements that grant them. CheckGrants ignores missing tables: see CheckMigrated.
func CheckGrants(ctx context.Context, db *sqlx.DB, role string) error {
	var statements []string // without the user
	var wanted []wantedPrivilege
	for _, grant := range grantForm.FindAllStringSubmatch(grants, -1) {
		privileges, schema, names, roles := grant[1], grant[2], grant[3], grant[4]
		if !slices.Contains(strings.Split(roles, ", "), role) {
			continue
		}
		for name := range strings.SplitSeq(names, ", ") {
			for _, privilege := range privilegeForm.FindAllStringSubmatch(privileges, -1) {
				w := wantedPrivilege{Statement: len(statements), Schema: name, Word: privilege[1]}
				if schema == "" {
					var table string
					w.Schema, table, _ = strings.Cut(name, ".")
					w.Table = &table
				}
				if privilege[2] != "" {
					w.Columns = strings.Split(privilege[2], ", ")
				}
				wanted = append(wanted, w)
			}
			statements = append(statements, fmt.Sprintf("GRANT %s ON %s%s", privileges, schema, name))
		}
	}
	list, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	var missing []int
	if err := db.SelectContext(ctx, &missing, missingPrivileges, list); err != nil {
		return fmt.Errorf("read the privileges of the user of DATABASE_URL: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	var user string
	if err := db.GetContext(ctx, &user, `SELECT current_user`); err != nil {
		return err
	}
	lines := ""
	for _, statement := range missing {
		lines += fmt.Sprintf("\n  %s TO %s;", statements[statement], pq.QuoteIdentifier(user))
	}
	return errors.New("the user of DATABASE_URL may not do what it needs in the schema memexport: as the role that ran `memexport migrate`, run" + lines)
}
