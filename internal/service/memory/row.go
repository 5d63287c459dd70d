package memory

import (
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/datarow"
)

// ErrUnreadable means that a row contains a value that is not valid in a memory, so that a retry does
// not help.
var ErrUnreadable = errors.New("unreadable memory")

var errUnreadableRow = fmt.Errorf("%w: id, access_count, created_at or updated_at is NULL (docs/adopting.md says what to do)", ErrUnreadable)

// shortColumns has the names of the columns in row.others that shortLimit limits.
var shortColumns = [...]string{1: "categories", 3: "user_id", 4: "agent_id", 5: "session_id", 6: "priority", 7: "status"}

// aboveLimit returns the error for a memory whose value in a column is too large to be exported.
func aboveLimit(column, id string, limit int) error {
	return fmt.Errorf("%w: the column %s of the memory with the id %s has more than %d bytes (docs/adopting.md says what to do)", ErrUnreadable, column, id, limit)
}

// row holds the current row of a result. Its buffers are reused for the next row.
type row struct {
	fixed  sql.RawBytes // the first column of selectList
	others [][]byte     // the other columns of selectList, in that order

	id         [36]byte
	categories []byte
	memory     Memory
}

func newRow(workspaceID string) *row {
	return &row{memory: Memory{WorkspaceID: []byte(workspaceID)}, others: make([][]byte, 8)}
}

// scan reads the current row of result. The memory that it returns is valid until the next call.
func (r *row) scan(result *sqlx.Rows) (*Memory, error) {
	if err := result.Scan(&r.fixed); err != nil {
		return nil, fmt.Errorf("scan a memory: %w", err)
	}
	const id, count, created, updated, accessed, end = 0, 16, 24, 32, 40, 48 // offsets of the values in fixed
	fixed, m := r.fixed, &r.memory
	if len(fixed) != accessed && len(fixed) != end {
		return nil, errUnreadableRow
	}
	if err := datarow.Columns(fixed, r.others); err != nil {
		return nil, fmt.Errorf("scan a memory: %w", err)
	}
	encodeUUID(&r.id, fixed[id:count])
	for i, name := range shortColumns {
		if name != "" && len(r.others[i]) > shortLimit {
			return nil, aboveLimit(name, string(r.id[:]), shortLimit)
		}
	}
	m.ID = r.id[:]
	m.Text, m.Metadata = r.others[0], r.others[2]
	m.UserID, m.AgentID, m.SessionID, m.Priority, m.Status = r.others[3], r.others[4], r.others[5], r.others[6], r.others[7]
	m.Categories = nil
	if array := r.others[1]; array != nil {
		r.categories = appendArray(r.categories[:0], array)
		m.Categories = r.categories
	}
	m.AccessCount = int64(binary.BigEndian.Uint64(fixed[count:]))
	m.CreatedAt = Time(binary.BigEndian.Uint64(fixed[created:]))
	m.UpdatedAt = Time(binary.BigEndian.Uint64(fixed[updated:]))
	m.LastAccessedAt = NullTime{}
	if len(fixed) == end {
		m.LastAccessedAt = NullTime{Time: Time(binary.BigEndian.Uint64(fixed[accessed:])), Valid: true}
	}
	return m, nil
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
