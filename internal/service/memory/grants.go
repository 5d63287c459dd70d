package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"
)

// isDenied reports whether Postgres refused a statement because the user lacks a privilege.
func isDenied(err error) bool {
	var refused *pq.Error
	return errors.As(err, &refused) && refused.Code.Name() == "insufficient_privilege"
}

// missingUsage returns the error of a user who may not use the schema of the table.
func (s *Source) missingUsage(ctx context.Context, cause error) error {
	var user string
	if err := s.db.GetContext(ctx, &user, `SELECT current_user`); err != nil {
		return err
	}
	schema, _, _ := strings.Cut(s.table, ".") // without a schema, Postgres says that the table does not exist
	return fmt.Errorf("the table %q cannot be read: %w: as the owner of the schema, run GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s;",
		s.name, cause, schema, pq.QuoteIdentifier(user), s.table, pq.QuoteIdentifier(user))
}

// allRows makes Postgres refuse a statement if row-level security applies to it. Without this setting, Postgres
// leaves out the rows that the policies hide, and the file would lack memories without an error.
const allRows = `SET LOCAL row_security = off`

// isFiltered reports whether Postgres refused a statement because of allRows. The SQLSTATE is the one of a missing
// privilege, so only the function of Postgres that reports the error tells them apart.
func isFiltered(err error) bool {
	var refused *pq.Error
	return errors.As(err, &refused) && refused.Routine == "check_enable_rls"
}

// checkReadable runs the query that reads a page, but with LIMIT 0. Postgres checks the privileges and row-level
// security even if no row is read. If the table is a view, Postgres also checks what the owner of the view may read.
func (s *Source) checkReadable(ctx context.Context, table int64) error {
	tx, err := s.begin(ctx, Query{})
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `SELECT `+columns+` FROM `+s.table+` LIMIT 0`)
	tx.Rollback() //nolint:errcheck // the transaction only reads
	if isFiltered(err) {
		return s.filtered(ctx, table, err)
	}
	if err == nil || !isDenied(err) {
		return err
	}
	var user, name string
	var denied []string
	row := s.db.QueryRowContext(ctx, `
		SELECT current_user, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
		       array(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND NOT has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, table, pq.Array(Columns))
	if err := row.Scan(&user, &name, pq.Array(&denied)); err != nil {
		return fmt.Errorf("read the privileges on %q: %w", s.name, err)
	}
	if len(denied) == 0 {
		return fmt.Errorf("it is a view, and its owner may not read what it shows: %w: grant that to the owner of the view", err)
	}
	slices.Sort(denied)
	some := " (" + strings.Join(denied, ", ") + ")"
	if len(denied) == len(Columns) {
		some = ""
	}
	return fmt.Errorf("it cannot be read: %w: as the owner of the table, run GRANT SELECT%s ON %s TO %s;", err, some, name, pq.QuoteIdentifier(user))
}

// filtered returns the error of a user from whom row-level security may hide memories.
func (s *Source) filtered(ctx context.Context, table int64, cause error) error {
	var reader string // the role whose rights count: a view reads with the rights of its owner, unless it has security_invoker
	err := s.db.GetContext(ctx, &reader, `
		SELECT CASE WHEN c.relkind = 'v' AND NOT EXISTS (
			SELECT 1 FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::bool
		) THEN pg_get_userbyid(c.relowner) ELSE current_user END
		FROM pg_class c WHERE c.oid = $1`, table)
	if err != nil {
		return fmt.Errorf("read the owner of %q: %w", s.name, err)
	}
	return fmt.Errorf("row-level security may hide memories from exports: %w: as a superuser, run ALTER ROLE %s BYPASSRLS; "+
		"or set MEMORIES_TABLE to a view whose owner sees all rows, such as the owner of the table (docs/adopting.md)", cause, pq.QuoteIdentifier(reader))
}
