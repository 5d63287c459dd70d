package memory

import (
	"cmp"
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

	position int64 // Range.Position of the range that is read
}

// defaultPageRows is the number of rows in a keyset page. Rows are streamed, so a large page needs no
// more RAM than a small one. But VACUUM cannot remove rows that the page's snapshot may still see.
// Reading 100,000 rows takes less than a second, so that VACUUM is not held back for long and the
// round trip for the next page is negligible.
const defaultPageRows = 100_000

// selectList returns the select list of a row. The columns of fixed width are joined into one bytea, the first
// column, as package datarow needs it. For Postgres that is as cheap as columns of their own, and cheaper than a
// timestamptz as text. The caller supplies the expressions for the text and the metadata, because either may
// be oversize. The other columns are cut after shortLimit + 1 characters, and then row.scan refuses the memory. Of the
// forms that do this, a cast to varchar costs Postgres the least.
func selectList(text, metadata string) string {
	short := fmt.Sprintf("::varchar(%d)", shortLimit+1)
	return `uuid_send(id) || int8send(access_count::int8) || timestamptz_send(created_at) || timestamptz_send(updated_at) ||
		coalesce(timestamptz_send(last_accessed_at), ''), ` + text + `, categories::text` + short + `, ` + metadata + `,
		user_id` + short + `, agent_id` + short + `, session_id` + short + `, priority::text` + short + `, status::text` + short
}

// oversizeMark is the text that the page query returns for an oversize memory. NULL would not do, because a text may
// be NULL. If a memory has exactly this text, it is also read by a query of its own, which is slower but still right.
const oversizeMark = "(oversize)"

// columns is the select list of a page. For an oversize memory it selects oversizeMark as the text, or metadata that is
// cut after maxMetadata + 1 characters: see isOversize. Both are cheap for an ordinary memory. Postgres does not reach
// the second WHEN. It needs the metadata as text anyway, and the cast to varchar only looks at its length. With
// octet_length(metadata::text), Postgres would make the text twice.
//
// If Postgres must sort the memories, it evaluates a select list before it sorts, but a volatile expression afterwards.
// So random() makes Postgres convert only the metadata of the page, one memory after the other. The condition with
// random() is always false.
var columns = selectList(
	fmt.Sprintf(`CASE WHEN octet_length(memory) <= %d THEN memory WHEN memory IS NOT NULL THEN '%s' END`, maxText, oversizeMark),
	fmt.Sprintf(`CASE WHEN metadata IS NOT NULL THEN metadata::text::varchar(%d) WHEN random() < 0 THEN '' END`, maxMetadata+1))

// isOversize reports whether m, a row of a page, stands for an oversize memory.
func isOversize(m *Memory) bool {
	return string(m.Text) == oversizeMark || len(m.Metadata) > maxMetadata
}

// Read calls visit once for every memory that q matches and whose key is in r, in the order of keys. If
// after is not nil, Read skips all keys up to and including after. If visit returns an error, Read
// stops and returns that error; visit has then been called for a prefix of the memories.
//
// Read fetches keyset pages, each in a read-only transaction of its own, so that a long export does
// not hold an old snapshot. A memory that is inserted, changed or deleted during the export is seen
// as it is when its page is read.
//
// If visit returns a *Pause, the memory counts as visited. Read then ends the page, calls Pause.Wait and
// goes on after that memory. The pages become smaller while visit pauses, so that Postgres selects few memories twice.
//
// An oversize memory is read over a second connection while the page's connection is busy. If no second
// connection is free, Read ends the page first. So one connection is enough for a call of Read, but with two
// it is faster.
func (s *Source) Read(ctx context.Context, q Query, r Range, after *Key, visit func(*Memory) error) error {
	q.position = r.Position
	p := pages{source: s, query: q, bounds: r, after: after, limit: s.pageRows}
	for {
		err := p.read(ctx, visit)
		if exceedsPostgres(err) {
			err = p.readNext(ctx, visit)
		}
		if errors.Is(err, errNoSecondConnection) {
			p.alone = true
			err = s.readOversize(ctx, q, *p.after, visit)
		}
		var pause *Pause
		if errors.As(err, &pause) {
			err = pause.Wait()
		}
		if err != nil {
			return err
		}
		if p.last {
			return nil
		}
	}
}

// pages reads the pages of one call of Read.
type pages struct {
	source *Source
	query  Query
	bounds Range
	after  *Key // the key of the last memory that was passed to visit, or at which a page ended with errNoSecondConnection
	limit  int  // the largest number of memories of the next page
	passed int  // memories that were passed to visit since it last ended a page
	alone  bool // whether each page ends at an oversize memory, because no second connection was free
	last   bool // whether the page that was read is the last one
}

// connectionPatience is how long a page waits for a second connection. If all connections of a pooler are held
// by pages that wait for a second one, none becomes free before a page ends.
const connectionPatience = 2 * time.Second

// errNoSecondConnection ends a page at an oversize memory. The page gives back its connection, and then Read reads
// that memory.
var errNoSecondConnection = errors.New("no second connection to the memories database is free")

// Pause is an error. If the function visit that is passed to Read returns a Pause, Read gives back its connection
// and its snapshot before it calls Wait.
type Pause struct {
	Wait func() error // if Wait returns an error, Read returns that error
}

func (*Pause) Error() string { return "reading pauses" }

// read reads the next page. If visit returns an error, read returns it. A page that ends with an error is not
// the last one.
func (p *pages) read(ctx context.Context, visit func(*Memory) error) (err error) {
	rows := 0
	ctx, span := tracer.Start(ctx, "read a page of memories") // one for up to 100,000 memories
	defer func() {
		span.SetAttributes(attribute.Int("memexport.memories", rows))
		if err != nil {
			span.SetStatus(codes.Error, "") // without the text, which may quote a memory
		}
		span.End()
	}()
	tx, err := p.source.begin(ctx, p.query)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads

	statement, args := p.statement()
	began := time.Now()
	queryCtx, disconnect := context.WithCancel(ctx) // a connection whose query is cancelled is closed
	defer disconnect()
	result, err := tx.QueryxContext(datarow.FirstColumn(queryCtx), statement, args...)
	if err != nil {
		return fmt.Errorf("query a page of memories: %w", err)
	}
	defer result.Close()
	metrics.SourceSeconds.Record(ctx, time.Since(began).Seconds())

	scanner := newRow(p.query.WorkspaceID)
	var createdAt Time
	for err == nil && result.Next() {
		m, scanErr := scanner.scan(result)
		if scanErr != nil {
			return scanErr
		}
		rows++
		createdAt = m.CreatedAt
		if isOversize(m) {
			err = p.visitOversize(ctx, Key{CreatedAt: createdAt, ID: string(m.ID)}, visit)
		} else {
			err = visit(m)
		}
	}
	if rows > 0 {
		p.after = &Key{CreatedAt: createdAt, ID: string(scanner.id[:])} // a copy, because the next page overwrites the buffer
	}
	p.passed += rows
	if err != nil {
		// Close reads the rest of the page. Unless the rest is small, a new connection costs less.
		if rest := p.limit - rows; rest > rows/2 {
			disconnect()
		}
		// The next page will probably end after as many memories as this time. An eighth more leaves room for chance.
		p.limit, p.passed = min(p.passed+p.passed/8+1, p.source.pageRows), 0
		return err
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("read a page of memories: %w", err)
	}
	p.last = rows < p.limit // only the last page is not full
	p.limit = min(2*p.limit, p.source.pageRows)
	return nil
}

// visitOversize visits an oversize memory over a second connection while the page's connection is busy. It
// returns errNoSecondConnection if none is free soon.
func (p *pages) visitOversize(ctx context.Context, key Key, visit func(*Memory) error) error {
	if p.alone {
		return errNoSecondConnection
	}
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(connectionPatience, cancel)
	tx, err := p.source.begin(limited, p.query)
	if !late.Stop() {
		if err == nil {
			tx.Rollback() //nolint:errcheck // the end of the context limited has ended the transaction too
		}
		return cmp.Or(ctx.Err(), errNoSecondConnection)
	}
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	return p.source.visitOversize(limited, tx, p.query, key, visit)
}

// readNext reads the first memory of the next page by a query of its own. Read calls it if Postgres could not return
// that memory with its page. If Postgres fails again, the error names the memory.
func (p *pages) readNext(ctx context.Context, visit func(*Memory) error) error {
	key, err := p.nextKey(ctx)
	if errors.Is(err, sql.ErrNoRows) { // the memory has been deleted, and it was the last one
		p.last = true
		return nil
	}
	if err != nil {
		return err
	}
	p.after = &key
	return p.source.readOversize(ctx, p.query, key, visit)
}

// nextKey looks up the key of the first memory of the next page. It returns sql.ErrNoRows if there is none.
func (p *pages) nextKey(ctx context.Context) (Key, error) {
	tx, err := p.source.begin(ctx, p.query)
	if err != nil {
		return Key{}, err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	statement, args := p.selecting(keyColumns, 1)
	return scanKey(tx.QueryRowxContext(ctx, statement, args...))
}

// statement returns the statement that reads the next page, and its arguments.
func (p *pages) statement() (statement string, args []any) { return p.selecting(columns, p.limit) }

// selecting returns the statement that selects a list from the first memories of the next page, and its arguments.
func (p *pages) selecting(list string, limit int) (statement string, args []any) {
	r := p.bounds
	from, comparison := r.First, ">="
	if p.after != nil && p.after.Compare(r.First) >= 0 {
		from, comparison = *p.after, ">"
	}
	w := p.query.where()
	if from.CreatedAt == r.Last.CreatedAt {
		// If a range lies within one instant, only the ids are compared. With a comparison of rows,
		// Postgres would read the index until created_at changes, and after a bulk import that may be
		// the whole index.
		w.and("created_at = ?::timestamptz", from.CreatedAt.literal())
		w.and("id "+comparison+" ?::uuid", from.ID)
		w.and("id <= ?::uuid", r.Last.ID)
	} else {
		w.key(comparison, from)
		w.key("<=", r.Last)
	}
	return `SELECT ` + list + ` FROM ` + p.source.table + ` WHERE ` + w.sql() + ` ORDER BY created_at, id LIMIT ` + strconv.Itoa(limit), w.args
}

// lockWait is how long a statement waits for a lock on the table, such as that of an ALTER TABLE. Without a limit, the
// attempts of some exports would wait for MEMORIES_READ_TIMEOUT in all places of a worker.
const lockWait = "10s"

// begin opens a read-only transaction in which Postgres never hides a memory, and reads along the keyset index,
// whatever its planner estimates. Every statement that reads memories runs in such a transaction. If the query reads a
// range, the server has reached the range's position, unless it does not tell its own.
func (s *Source) begin(ctx context.Context, q Query) (*sqlx.Tx, error) {
	tx, err := s.beginAnywhere(ctx, q)
	if err != nil || q.position == 0 {
		return tx, err
	}
	if err = awaitPosition(ctx, tx, q.position); err == nil {
		return tx, nil
	}
	tx.Rollback() //nolint:errcheck // the first error is returned
	if errors.Is(err, errNoPosition) {
		return s.beginAnywhere(ctx, q)
	}
	return nil, fmt.Errorf("begin reading memories: %w", err)
}

// beginAnywhere is begin on any server, whatever its position.
func (s *Source) beginAnywhere(ctx context.Context, q Query) (*sqlx.Tx, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("begin reading memories: %w", err)
	}
	settings := allRows + `; SET LOCAL lock_timeout = '` + lockWait + `'; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan`
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
// Statements add more conditions. Its placeholders are numbered after args, the arguments of an earlier where.
func (q *Query) where(args ...any) *where {
	w := &where{args: args}
	w.and("workspace_id = ?::uuid", q.WorkspaceID)
	q.Filter.where(w)
	return w
}
