package memory

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"memexport/internal/service/datarow"
)

// readOversize reads the memory with the given key in a transaction of its own and visits it.
func (s *Source) readOversize(ctx context.Context, q Query, key Key, visit func(*Memory) error) error {
	tx, err := s.begin(ctx, q)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	return s.visitOversize(ctx, tx, q, key, visit)
}

// visitOversize reads the memory with the given key and visits it. Postgres cuts the text into pieces.
// A single statement reads all pieces, so that they belong to the same version of the row. If the row
// was deleted after its page had been read, visitOversize visits nothing. If a value of the memory is too large to
// be exported, the error is ErrUnreadable and names the memory.
func (s *Source) visitOversize(ctx context.Context, tx *sqlx.Tx, q Query, key Key, visit func(*Memory) error) error {
	w := q.where()
	w.and("(created_at, id) = (?::timestamptz, ?::uuid)", key.CreatedAt.literal(), key.ID)
	args := append(w.args, pieceSize, metadataLimit+1)
	piece, cut := "$"+strconv.Itoa(len(args)-1)+"::int", "$"+strconv.Itoa(len(args))+"::int"
	result, err := tx.QueryxContext(datarow.FirstColumn(ctx), `
		WITH m AS MATERIALIZED (SELECT id, convert_to(memory, 'UTF8') AS body, user_id, agent_id, session_id, priority, status,
			categories, substring(convert_to(metadata::text, 'UTF8') FROM 1 FOR `+cut+`) AS metadata, access_count, last_accessed_at, created_at, updated_at
			FROM `+s.table+` WHERE `+w.sql()+` LIMIT 1)
		SELECT `+selectList(`substring(body FROM i::int FOR `+piece+`)`, `CASE WHEN i = 1 THEN metadata END`)+`,
			int8send(i), int8send(coalesce(octet_length(body), 0))
		FROM m CROSS JOIN generate_series(1::bigint, greatest(coalesce(octet_length(body), 0), 1)::bigint, `+piece+`) i`, args...)
	if err != nil {
		return tooLarge(key, fmt.Errorf("query an oversize memory: %w", err))
	}
	defer result.Close()

	p := newTextPieces(result, q.WorkspaceID)
	first, err := p.next()
	if first == nil || err != nil {
		return tooLarge(key, err)
	}
	if len(first.Metadata) > metadataLimit {
		return aboveLimit("metadata", key.ID, metadataLimit)
	}
	m := *first
	if p.read < p.total {
		m.clone() // the next piece overwrites the buffers that m refers to
		m.Rest, m.Size = p.rest, p.total
	}
	return visit(&m)
}

// tooLarge returns ErrUnreadable with the id of the memory if err says that the memory is too large for Postgres to
// return. Otherwise it returns err.
func tooLarge(key Key, err error) error {
	if !exceedsPostgres(err) {
		return err
	}
	return fmt.Errorf("%w: the memory with the id %s has a value that is too large for Postgres to return (docs/adopting.md says what to do)", ErrUnreadable, key.ID)
}

// exceedsPostgres reports whether a statement failed because a value or a row exceeds a limit of Postgres, such as
// 1 GB for the text of metadata.
func exceedsPostgres(err error) bool {
	var failed *pq.Error
	return errors.As(err, &failed) && failed.Code.Class() == pqerror.ClassProgramLimitExceeded
}

// textPieces reads the rows of an oversize memory. Each row has all columns and one piece of the text.
type textPieces struct {
	result *sqlx.Rows
	row    *row

	read, total int64 // bytes
}

func newTextPieces(result *sqlx.Rows, workspaceID string) *textPieces {
	p := &textPieces{result: result, row: newRow(workspaceID)}
	p.row.others = append(p.row.others, nil, nil)
	return p
}

// next scans the next row, or returns nil after the last one. It checks that the pieces arrive in
// order. The statement has no ORDER BY, because Postgres would then have to collect all pieces before
// it returns the first.
func (p *textPieces) next() (*Memory, error) {
	if !p.result.Next() {
		return nil, p.result.Err()
	}
	m, err := p.row.scan(p.result)
	if err != nil {
		return nil, err
	}
	last := p.row.others[len(p.row.others)-2:]
	start, length := last[0], last[1] // the position of the piece, counted from 1, and the length of the whole text
	if i := int64(binary.BigEndian.Uint64(start)); i != p.read+1 {
		return nil, fmt.Errorf("an oversize memory's piece starts at byte %d instead of %d", i, p.read+1)
	}
	p.read += int64(len(m.Text))
	p.total = int64(binary.BigEndian.Uint64(length))
	return m, nil
}

// rest implements Memory.Rest.
func (p *textPieces) rest() ([]byte, error) {
	if p.read == p.total {
		return nil, nil
	}
	m, err := p.next()
	if m == nil {
		return nil, cmp.Or(err, errors.New("an oversize memory ended early"))
	}
	return m.Text, nil
}

// clone copies m's byte slices, so that m stays valid after the next row is read. It does not copy the
// workspace's ID, which is the same for all rows.
func (m *Memory) clone() {
	for _, field := range []*[]byte{&m.ID, &m.Text, &m.UserID, &m.AgentID, &m.SessionID, &m.Priority, &m.Status, &m.Categories, &m.Metadata} {
		if *field != nil {
			*field = append([]byte{}, *field...)
		}
	}
}
