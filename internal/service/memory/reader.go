package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"memexport/internal/service/datarow"
	"memexport/internal/service/metrics"
)

var tracer = otel.Tracer("memexport")

// Query selects the memories of one workspace that match a filter.
type Query struct {
	WorkspaceID string // UUID of the tenant; every statement has it in its WHERE clause
	Filter      Filter
}

// defaultPageRows is the number of rows in a keyset page. Rows are streamed, so a large page needs no
// more RAM than a small one. But VACUUM cannot remove rows that the page's snapshot may still see.
// Reading 100,000 rows takes less than a second, so that VACUUM is not held back for long and the
// round trip for the next page is negligible.
const defaultPageRows = 100_000

// selectList returns the select list of a row. The columns of fixed width are joined into one bytea, the first
// column, as package datarow needs it. For Postgres that is as cheap as columns of their own, and cheaper than a
// timestamptz as text. The caller supplies the expressions for the text and the metadata, because either may
// be oversize.
func selectList(text, metadata string) string {
	return `uuid_send(id) || int8send(access_count::int8) || timestamptz_send(created_at) || timestamptz_send(updated_at) ||
		coalesce(timestamptz_send(last_accessed_at), ''), ` + text + `, categories, ` + metadata + `,
		user_id, agent_id, session_id, priority::text, status::text`
}

// columns is the select list of a page. For oversize values it selects NULL: see readOversize.
var columns = selectList(
	fmt.Sprintf(`CASE WHEN octet_length(memory) <= %d AND coalesce(pg_column_size(metadata), 0) <= %d THEN memory END`, maxText, maxMetadata),
	fmt.Sprintf(`CASE WHEN pg_column_size(metadata) <= %d THEN metadata END`, maxMetadata))

// Read calls visit once for every memory that q matches and whose key is in r, in the order of keys. If
// after is not nil, Read skips all keys up to and including after. If visit returns an error, Read
// stops and returns that error; visit has then been called for a prefix of the memories.
//
// Read fetches keyset pages, each in a read-only transaction of its own, so that a long export does
// not hold an old snapshot. A memory that is inserted, changed or deleted during the export is seen
// as it is when its page is read.
//
// If visit returns a *Pause, the memory counts as visited. Read then ends the page, calls Pause.Wait and
// goes on after that memory.
//
// An oversize memory is read over a second connection while the page's connection is busy, so a pool
// needs two connections for each concurrent call of Read.
func (s *Source) Read(ctx context.Context, q Query, r Range, after *Key, visit func(*Memory) error) error {
	for {
		last, rows, err := s.readPage(ctx, q, r, after, visit)
		var pause *Pause
		switch {
		case errors.As(err, &pause):
			if err := pause.Wait(); err != nil {
				return err
			}
		case err != nil:
			return err
		case rows < s.pageRows: // only the last page is not full
			return nil
		}
		after = &last
	}
}

// Pause is an error that the function visit of Read returns to wait without holding a connection and a
// snapshot.
type Pause struct {
	Wait func() error // an error of Wait ends Read
}

func (*Pause) Error() string { return "reading pauses" }

// readPage reads up to pageRows memories. It returns the key of the last memory and the number of
// memories. If visit returns an error, readPage returns the error and the key of the memory passed to visit.
func (s *Source) readPage(ctx context.Context, q Query, r Range, after *Key, visit func(*Memory) error) (last Key, rows int, err error) {
	ctx, span := tracer.Start(ctx, "read a page of memories") // one for up to 100,000 memories
	defer func() {
		span.SetAttributes(attribute.Int("memexport.memories", rows))
		if err != nil {
			span.SetStatus(codes.Error, "") // without the text, which may quote a memory
		}
		span.End()
	}()
	tx, err := s.begin(ctx, q)
	if err != nil {
		return last, 0, err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads

	statement, args := s.page(q, r, after)
	began := time.Now()
	result, err := tx.QueryxContext(datarow.FirstColumn(ctx), statement, args...)
	if err != nil {
		return last, 0, fmt.Errorf("query a page of memories: %w", err)
	}
	defer result.Close()
	metrics.SourceSeconds.Record(ctx, time.Since(began).Seconds())

	scanner := newRow(q.WorkspaceID)
	for result.Next() {
		m, err := scanner.scan(result)
		if err != nil {
			return last, 0, err
		}
		rows++
		last.CreatedAt = m.CreatedAt
		if m.Text == nil { // oversize, or NULL
			err = s.readOversize(ctx, q, Key{CreatedAt: m.CreatedAt, ID: string(m.ID)}, visit)
		} else {
			err = visit(m)
		}
		if err != nil {
			last.ID = string(scanner.id[:])
			return last, 0, err
		}
	}
	if err := result.Err(); err != nil {
		return last, 0, fmt.Errorf("read a page of memories: %w", err)
	}
	last.ID = string(scanner.id[:]) // a copy, because the next page overwrites the buffer
	return last, rows, nil
}

// page returns the statement that reads a page, and its arguments.
func (s *Source) page(q Query, r Range, after *Key) (statement string, args []any) {
	from, comparison := r.First, ">="
	if after != nil && after.Compare(r.First) >= 0 {
		from, comparison = *after, ">"
	}
	w := q.where()
	if from.CreatedAt == r.Last.CreatedAt {
		// If a range lies within one instant, only the ids are compared. With a comparison of rows,
		// Postgres would read the index until created_at changes, and after a bulk import that may be
		// the whole index.
		w.and("created_at = ?::timestamptz", from.CreatedAt.literal())
		w.and("id "+comparison+" ?::uuid", from.ID)
		w.and("id <= ?::uuid", r.Last.ID)
	} else {
		w.and("(created_at, id) "+comparison+" (?::timestamptz, ?::uuid)", from.CreatedAt.literal(), from.ID)
		w.and("(created_at, id) <= (?::timestamptz, ?::uuid)", r.Last.CreatedAt.literal(), r.Last.ID)
	}
	return `SELECT ` + columns + ` FROM ` + s.table + ` WHERE ` + w.sql() + ` ORDER BY created_at, id LIMIT ` + strconv.Itoa(s.pageRows), w.args
}

// begin opens a read-only transaction with settings that make Postgres read along the keyset index,
// whatever its planner estimates.
func (s *Source) begin(ctx context.Context, q Query) (*sqlx.Tx, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("begin reading memories: %w", err)
	}
	settings := `SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan`
	if q.Filter.IsZero() {
		// Without a filter, the keyset index is always the best choice. Any other plan would sort all
		// remaining rows again for every page.
		settings += `; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off`
	}
	if _, err := tx.ExecContext(ctx, settings); err != nil {
		tx.Rollback() //nolint:errcheck // the first error is returned
		return nil, fmt.Errorf("begin reading memories: %w", err)
	}
	return tx, nil
}

// where returns the conditions that select the memories of the query: the workspace and the filter.
// Statements add more conditions.
func (q *Query) where() *where {
	w := &where{}
	w.and("workspace_id = ?::uuid", q.WorkspaceID)
	q.Filter.where(w)
	return w
}
