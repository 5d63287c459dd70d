package postgres

import (
	"context"
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

// CheckGrants returns an error with the statements to run if the user of db lacks privileges that a role has
// in docs/security.md. It does not look at tables that do not exist: see CheckMigrated.
func CheckGrants(ctx context.Context, db *sqlx.DB, role string) error {
	var user string
	if err := db.GetContext(ctx, &user, `SELECT current_user`); err != nil {
		return err
	}
	var missing []string
	for _, grant := range grantForm.FindAllStringSubmatch(grants, -1) {
		privileges, schema, names, roles := grant[1], grant[2], grant[3], grant[4]
		if !slices.Contains(strings.Split(roles, ", "), role) {
			continue
		}
		for name := range strings.SplitSeq(names, ", ") {
			has, err := hasPrivileges(ctx, db, privileges, schema != "", name)
			if err != nil {
				return err
			}
			if !has {
				missing = append(missing, fmt.Sprintf("GRANT %s ON %s%s TO %s;", privileges, schema, name, pq.QuoteIdentifier(user)))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return errors.New("the user of DATABASE_URL may not do what it needs in the schema memexport: as the role that ran `memexport migrate`, run\n  " + strings.Join(missing, "\n  "))
}

// hasPrivileges reports whether the user has the privileges on a schema or table. It also returns true if the
// schema or table does not exist. It looks the table up in the catalog, because resolving its name would need
// a privilege on the schema.
func hasPrivileges(ctx context.Context, db *sqlx.DB, privileges string, isSchema bool, name string) (bool, error) {
	for _, privilege := range privilegeForm.FindAllStringSubmatch(privileges, -1) {
		word, columns := privilege[1], privilege[2]
		query, args := `SELECT bool_and(has_schema_privilege(oid, $2)) FROM pg_namespace WHERE nspname = $1`, []any{name, word}
		if !isSchema {
			schema, table, _ := strings.Cut(name, ".")
			query, args = `SELECT bool_and(has_table_privilege(oid, $3)) FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relname = $2`,
				[]any{schema, table, word}
			if columns != "" {
				query = strings.Replace(query, "has_table_privilege(oid, $3)", "(SELECT bool_and(has_column_privilege(attrelid, attnum, $3)) FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = ANY ($4))", 1)
				args = append(args, pq.Array(strings.Split(columns, ", ")))
			}
		}
		var has *bool // NULL if the table or the columns do not exist
		if err := db.GetContext(ctx, &has, query, args...); err != nil {
			return false, fmt.Errorf("read the privileges on %s: %w", name, err)
		}
		if has != nil && !*has {
			return false, nil
		}
	}
	return true, nil
}
