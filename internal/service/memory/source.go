package memory

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Source is the table or view that memories are read from. It belongs to the memory service and is
// never written to.
type Source struct {
	db    *sqlx.DB
	table string // quoted, for SQL
	name  string // the name as configured, for messages

	pageRows              int
	rangeRows, rangeBytes int64
}

// SourceOptions sets how a Source divides what it reads. The zero value is right for production.
type SourceOptions struct {
	PageRows   int   // the number of rows in a page; 100,000 if 0
	RangeRows  int64 // the estimated number of rows above which Plan splits a range; 160,000 if 0
	RangeBytes int64 // the same for the estimated bytes of its texts and metadata; 80 MiB if 0
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

// NewSource returns the source for a table or view of db. The name is "table" or "schema.table", in
// the letter case in which Postgres stores it. NewSource does not access the database: see Check.
func NewSource(db *sqlx.DB, table string, o SourceOptions) (*Source, error) {
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("%q is not a table name: write table or schema.table", table)
	}
	parts := strings.Split(table, ".")
	for i, part := range parts {
		parts[i] = pq.QuoteIdentifier(part)
	}
	return &Source{
		db:         db,
		table:      strings.Join(parts, "."),
		name:       table,
		pageRows:   cmp.Or(o.PageRows, defaultPageRows),
		rangeRows:  cmp.Or(o.RangeRows, defaultRangeRows),
		rangeBytes: cmp.Or(o.RangeBytes, defaultRangeBytes),
	}, nil
}

// Name returns the name of the table or view, as it was configured.
func (s *Source) Name() string { return s.name }

// columnTypes lists the types that each column may have, as Postgres's format_type names them. A column
// with a closed set of values may also be an enum.
var columnTypes = map[string][]string{
	"id": {"uuid"}, "memory": {"text"}, "user_id": {"text"}, "agent_id": {"text"}, "session_id": {"text"},
	"priority": {"text", "enum"}, "status": {"text", "enum"}, "categories": {"text[]"}, "metadata": {"jsonb"},
	"workspace_id": {"uuid"}, "access_count": {"integer", "smallint", "bigint"},
	"last_accessed_at": {"timestamp with time zone"}, "created_at": {"timestamp with time zone"},
	"updated_at": {"timestamp with time zone"},
}

// Check returns an error that lists everything that prevents the table from being exported: it does not
// exist, a column is missing or has the wrong type, the database is encoded as SQL_ASCII, the user may
// not read it, row-level security applies to the user or, for a table, the index for keyset pagination is
// missing. A view cannot have an index, so its tables are not checked: see docs/adopting.md.
func (s *Source) Check(ctx context.Context) error {
	var encoding string
	if err := s.db.GetContext(ctx, &encoding, `SHOW server_encoding`); err != nil {
		return fmt.Errorf("read the memories database: %w", err)
	}
	var problems []error
	if encoding == "SQL_ASCII" {
		problems = append(problems, errors.New("the database's encoding is SQL_ASCII, which may hold bytes that are not text: use a UTF8 database"))
	}
	var table struct {
		OID  int64  `db:"oid"`
		Kind string `db:"relkind"`
	}
	err := s.db.GetContext(ctx, &table, `SELECT oid::bigint, relkind::text FROM pg_class WHERE oid = to_regclass($1)`, s.table)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("there is no table or view %q in the memories database: set MEMORIES_TABLE to the memory service's table, or MEMORIES_DATABASE_URL to its database, "+
			"or grant USAGE on its schema", s.name)
	}
	if isDenied(err) {
		return s.missingUsage(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("look up the table %q: %w", s.name, err)
	}
	var columns []struct {
		Name string `db:"attname"`
		Type string `db:"type"`
	}
	err = s.db.SelectContext(ctx, &columns, `
		SELECT a.attname, CASE WHEN t.typtype = 'e' THEN 'enum' WHEN t.typname IN ('varchar', 'bpchar') THEN 'text'
		       ELSE format_type(a.atttypid, NULL) END AS type
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`, table.OID)
	if err != nil {
		return fmt.Errorf("read the columns of %q: %w", s.name, err)
	}
	types := map[string]string{}
	for _, c := range columns {
		types[c.Name] = c.Type
	}
	for _, column := range Columns {
		allowed := columnTypes[column]
		switch found, ok := types[column]; {
		case !ok:
			problems = append(problems, fmt.Errorf("column %s is missing: it must be %s", column, strings.Join(allowed, " or ")))
		case !slices.Contains(allowed, found):
			problems = append(problems, fmt.Errorf("column %s is %s: it must be %s", column, found, strings.Join(allowed, " or ")))
		}
	}
	if len(problems) == 0 {
		if err := s.checkReadable(ctx, table.OID); err != nil {
			problems = append(problems, err)
		}
		if table.Kind == "r" || table.Kind == "p" { // an ordinary or a partitioned table
			if err := s.checkIndex(ctx, table.OID); err != nil {
				problems = append(problems, err)
			}
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("the table %q cannot be exported: %w", s.name, errors.Join(problems...))
	}
	return nil
}

// checkIndex looks for a valid B-tree index that starts with the columns of the keyset. A partial
// index does not count, because it would not serve every workspace.
func (s *Source) checkIndex(ctx context.Context, table int64) error {
	var found bool
	err := s.db.GetContext(ctx, &found, `
		SELECT EXISTS (SELECT 1 FROM pg_index i
			JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
			WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' AND i.indnkeyatts >= 3
			AND i.indoption[1] = i.indoption[2] AND i.indoption[1] IN (0, 3) -- created_at and id both ASC, or both DESC, with the default order of NULLs
			AND (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
			     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
			     WHERE k.n <= 3) = ARRAY['workspace_id', 'created_at', 'id'])`, table)
	if err != nil {
		return fmt.Errorf("read the indexes of %q: %w", s.name, err)
	}
	if !found {
		return fmt.Errorf("the index that exports read along is missing: CREATE INDEX CONCURRENTLY ON %s (workspace_id, created_at, id)", s.table)
	}
	return nil
}
