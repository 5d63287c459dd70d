package memory

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
)

// Query is whose memories are read, and which of them.
type Query struct {
	WorkspaceID string // UUID; the tenant: part of every statement
	Filter      Filter
}

// pageRows is the number of rows of a keyset page. Rows stream, so that a page costs no memory;
// its end only costs a round trip and lets go of the snapshot that holds back VACUUM.
const pageRows = 100_000

// selectList is what a row is read as, each column in the form that is cheapest on both sides. What
// has a fixed width comes as one bytea, which lib/pq takes in binary and without a copy; it would
// parse a timestamptz. The text and the metadata, which may be oversize, are for the caller to choose.
func selectList(text, metadata string) string {
	return `uuid_send(id) || int8send(access_count::int8) || timestamptz_send(created_at) || timestamptz_send(updated_at) ||
		coalesce(timestamptz_send(last_accessed_at), ''), ` + text + `, categories, ` + metadata + `,
		user_id, agent_id, session_id, priority::text, status::text`
}

// columns are those of a page, which leaves oversize values out: see readOversize.
var columns = selectList(
	fmt.Sprintf(`CASE WHEN octet_length(memory) <= %d AND coalesce(pg_column_size(metadata), 0) <= %d THEN textsend(memory) END`, maxText, maxMetadata),
	fmt.Sprintf(`CASE WHEN pg_column_size(metadata) <= %d THEN metadata END`, maxMetadata))

// Read calls visit for every memory that q matches with a key within r and beyond after (nil: from
// the start of r), once each and in the order of keys. It reads keyset pages, each in a read-only
// transaction of its own, so that a long export holds no old snapshot. Whatever visit returns ends
// the reading and is returned.
//
// An oversize memory is fetched over a second connection while the page's is busy: a pool that
// several readers share needs two for each of them.
func (s *Source) Read(ctx context.Context, q Query, r Range, after *Key, visit func(*Memory) error) error {
	for {
		last, rows, err := s.readPage(ctx, q, r, after, visit)
		if err != nil {
			return err
		}
		if rows < s.pageRows { // a page that is not full was the last
			return nil
		}
		after = &last
	}
}

// readPage reads up to pageRows memories and returns the key of the last one and their number.
func (s *Source) readPage(ctx context.Context, q Query, r Range, after *Key, visit func(*Memory) error) (last Key, rows int, err error) {
	tx, err := s.begin(ctx, q)
	if err != nil {
		return last, 0, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads: nothing is lost

	statement, args := s.page(q, r, after)
	result, err := tx.QueryxContext(ctx, statement, args...)
	if err != nil {
		return last, 0, fmt.Errorf("query a page of memories: %w", err)
	}
	defer result.Close()

	row := newRow(q.WorkspaceID)
	for result.Next() {
		m, err := row.scan(result)
		if err != nil {
			return last, 0, err
		}
		rows++
		last.CreatedAt = m.CreatedAt
		if m.Text == nil { // left out of the page for its size, or NULL
			err = s.readOversize(ctx, q, Key{m.CreatedAt, string(m.ID)}, visit)
		} else {
			err = visit(m)
		}
		if err != nil {
			return last, 0, err
		}
	}
	if err := result.Err(); err != nil {
		return last, 0, fmt.Errorf("read a page of memories: %w", err)
	}
	last.ID = string(row.id[:]) // a copy: the buffer is the row's
	return last, rows, nil
}

// page is the statement that reads a page, with its arguments.
func (s *Source) page(q Query, r Range, after *Key) (statement string, args []any) {
	from, comparison := r.First, ">="
	if after != nil && after.Compare(r.First) >= 0 {
		from, comparison = *after, ">"
	}
	w := q.where()
	if from.CreatedAt == r.Last.CreatedAt {
		// Not as a comparison of rows: at the upper end of one Postgres reads on in the index for as long
		// as created_at stays the same, which after a bulk import may be all of it.
		w.and("created_at = ?::timestamptz", from.CreatedAt.literal())
		w.and("id "+comparison+" ?::uuid", from.ID)
		w.and("id <= ?::uuid", r.Last.ID)
	} else {
		w.and("(created_at, id) "+comparison+" (?::timestamptz, ?::uuid)", from.CreatedAt.literal(), from.ID)
		w.and("(created_at, id) <= (?::timestamptz, ?::uuid)", r.Last.CreatedAt.literal(), r.Last.ID)
	}
	return `SELECT ` + columns + ` FROM ` + s.table + ` WHERE ` + w.sql() + ` ORDER BY created_at, id LIMIT ` + strconv.Itoa(s.pageRows), w.args
}

// begin opens a read-only transaction whose plan does not depend on what the planner guesses.
func (s *Source) begin(ctx context.Context, q Query) (*sqlx.Tx, error) {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("begin to read memories: %w", err)
	}
	settings := `SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan`
	if q.Filter.IsZero() {
		// Without a filter the keyset index is right; a sort would repeat itself on every page.
		settings += `; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off`
	}
	if _, err := tx.ExecContext(ctx, settings); err != nil {
		tx.Rollback() //nolint:errcheck // the first error is the one to tell
		return nil, fmt.Errorf("begin to read memories: %w", err)
	}
	return tx, nil
}

// where starts every statement over memories: the tenant's condition, then the filter's.
func (q *Query) where() *where {
	w := &where{}
	w.and("workspace_id = ?::uuid", q.WorkspaceID)
	q.Filter.where(w)
	return w
}

// ErrUnreadable is a row that is not as the contract wants it, which no retry will change.
var ErrUnreadable = errors.New("unreadable memory")

var errNotBinary = fmt.Errorf("%w: it lacks id, access_count, created_at or updated_at, or the connection does not "+
	"deliver bytea in binary: drop binary_parameters from MEMORIES_DATABASE_URL", ErrUnreadable)

// row is where rows of a result are scanned to, one after the other.
type row struct {
	fixed, body, array, metadata sql.RawBytes // see selectList

	texts      [5]nullText
	dest       []any
	id         [36]byte
	categories []byte
	memory     Memory
}

func newRow(workspaceID string) *row {
	r := &row{memory: Memory{WorkspaceID: []byte(workspaceID)}}
	r.dest = []any{&r.fixed, &r.body, &r.array, &r.metadata}
	for i := range r.texts {
		r.texts[i].buffer = []byte{}
		r.dest = append(r.dest, &r.texts[i])
	}
	return r
}

// scan reads the current row of result; what it returns is overwritten by the next call.
func (r *row) scan(result *sqlx.Rows) (*Memory, error) {
	if err := result.Scan(r.dest...); err != nil {
		return nil, fmt.Errorf("scan a memory: %w", err)
	}
	const id, count, created, updated, accessed, end = 0, 16, 24, 32, 40, 48 // where they are in fixed
	fixed, m := r.fixed, &r.memory
	if len(fixed) != accessed && len(fixed) != end {
		return nil, errNotBinary
	}
	encodeUUID(&r.id, fixed[id:count])
	m.ID = r.id[:]
	m.Text = r.body
	m.UserID, m.AgentID, m.SessionID = r.texts[0].value, r.texts[1].value, r.texts[2].value
	m.Priority, m.Status = r.texts[3].value, r.texts[4].value
	m.Categories = nil
	if r.array != nil {
		r.categories = appendArray(r.categories[:0], r.array)
		m.Categories = r.categories
	}
	m.Metadata = r.metadata
	m.AccessCount = int64(binary.BigEndian.Uint64(fixed[count:]))
	m.CreatedAt = Time(binary.BigEndian.Uint64(fixed[created:]))
	m.UpdatedAt = Time(binary.BigEndian.Uint64(fixed[updated:]))
	m.LastAccessedAt = NullTime{}
	if len(fixed) == end {
		m.LastAccessedAt = NullTime{Time(binary.BigEndian.Uint64(fixed[accessed:])), true}
	}
	return m, nil
}

// nullText scans a text column. Of a sql.RawBytes the empty text cannot always be told from NULL.
type nullText struct {
	value  []byte // nil if NULL
	buffer []byte // of value; never nil
}

// Scan implements sql.Scanner.
func (t *nullText) Scan(src any) error {
	switch s := src.(type) {
	case nil:
		t.value = nil
	case string:
		t.buffer = append(t.buffer[:0], s...)
		t.value = t.buffer
	default:
		return errNotBinary
	}
	return nil
}

// encodeUUID writes the 16 bytes of a UUID in its 36-character form.
func encodeUUID(dst *[36]byte, src []byte) {
	hex.Encode(dst[0:8], src[0:4])
	dst[8] = '-'
	hex.Encode(dst[9:13], src[4:6])
	dst[13] = '-'
	hex.Encode(dst[14:18], src[6:8])
	dst[18] = '-'
	hex.Encode(dst[19:23], src[8:10])
	dst[23] = '-'
	hex.Encode(dst[24:36], src[10:16])
}
