package memory

import (
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// ErrUnreadable means that a row contains a value that is not valid in a memory, so that a retry does
// not help.
var ErrUnreadable = errors.New("unreadable memory")

var errUnreadableRow = fmt.Errorf("%w: id, access_count, created_at or updated_at is NULL (docs/adopting.md says what to do)", ErrUnreadable)

// row holds the current row of a result. Its buffers are reused for the next row.
type row struct {
	fixed, body, array, metadata sql.RawBytes // the columns of selectList, in that order

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

// scan reads the current row of result. The memory that it returns is valid until the next call.
func (r *row) scan(result *sqlx.Rows) (*Memory, error) {
	if err := result.Scan(r.dest...); err != nil {
		return nil, fmt.Errorf("scan a memory: %w", err)
	}
	const id, count, created, updated, accessed, end = 0, 16, 24, 32, 40, 48 // offsets of the values in fixed
	fixed, m := r.fixed, &r.memory
	if len(fixed) != accessed && len(fixed) != end {
		return nil, errUnreadableRow
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
		m.LastAccessedAt = NullTime{Time: Time(binary.BigEndian.Uint64(fixed[accessed:])), Valid: true}
	}
	return m, nil
}

// nullText scans a text column and distinguishes the empty text from NULL, which a sql.RawBytes does
// not always do.
type nullText struct {
	value  []byte // nil if NULL, otherwise a slice of buffer
	buffer []byte // never nil
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
		return errUnreadableRow
	}
	return nil
}

// encodeUUID writes the 36-character form of the UUID whose 16 bytes are src.
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
