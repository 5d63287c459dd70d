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

// checkReadable runs the query that reads a page, but with LIMIT 0. Postgres checks the privileges even if no
// row is read. If the table is a view, Postgres also checks what the owner of the view may read.
func (s *Source) checkReadable(ctx context.Context, table int64) error {
	_, err := s.db.ExecContext(ctx, `SELECT `+columns+` FROM `+s.table+` LIMIT 0`)
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
