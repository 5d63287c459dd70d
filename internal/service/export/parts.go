package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"memexport/internal/service/memory"
)

// Record adds consecutive parts of one range in one transaction. previous is the object of the part before
// them. It is empty if they begin the range, and for the footer. Record returns ErrConflict if another
// attempt has recorded one of the parts or completed the range, or if the export is not PROCESSING. The
// caller must then stop. The objects of its parts are orphans, which the sweep deletes later.
//
// Record also returns ErrConflict if previous is not recorded as the part before them. Postgres can lose a
// commit, for example in an asynchronous fail-over. If a caller that does not know of the loss could go on,
// the file would lack memories.
func (s *Store) Record(ctx context.Context, id, previous string, parts []Part) error {
	if len(parts) == 0 {
		return nil
	}
	// Use a transaction even for one part. Without a transaction, Postgres could still record the part after
	// ctx has ended and Record has returned an error.
	err := s.transact(ctx, func(tx *sqlx.Tx) error {
		for _, p := range parts {
			if err := insertPart(ctx, tx, id, previous, p); err != nil {
				return err
			}
			previous = p.Object
		}
		return nil
	})
	if uniqueViolation(err) {
		return ErrConflict
	}
	return err
}

// insertPart records a part that follows the object previous. The lock keeps the row of the export from changing
// until the part is committed.
func insertPart(ctx context.Context, q sqlx.ExecerContext, id, previous string, p Part) error {
	first := p.Number == 0 || p.Range == FooterRange // the first part of a footer has another number than 0
	result, err := q.ExecContext(ctx, `INSERT INTO memexport.export_parts
		(export_id, range, part, object, size, checksum, continues, separated, compressed_size, crc32, memories, last_created_at, last_id, footer_entry)
		SELECT id, $2::integer, $3::integer, $4, $5::bigint, $6::bigint, $7::boolean, $8::boolean, $9::bigint, $10::bigint,
			$11::bigint, $12::bigint, $13::uuid, $14::bytea
		FROM memexport.exports WHERE id = $1 AND status = 'PROCESSING' AND $2::integer <> ALL(complete_ranges)
			AND ($15::boolean OR EXISTS (SELECT FROM memexport.export_parts
				WHERE export_id = $1 AND range = $2::integer AND part = $3::integer - 1 AND object = $16))
		FOR SHARE`,
		id, p.Range, p.Number, p.Object, p.Size, int64(p.Checksum), p.Continues, p.Separated, p.CompressedSize, int64(p.CRC),
		p.Memories, int64(p.Last.CreatedAt), p.Last.ID, p.FooterEntry, first, previous)
	if err != nil {
		return err
	}
	if recorded, err := result.RowsAffected(); err != nil || recorded == 0 {
		return cmp.Or(err, ErrConflict)
	}
	return nil
}

// CompleteRange records that a range is complete with this number of parts, so that Record refuses further
// ones. It returns ErrConflict if another number of parts is recorded, or if the export is not PROCESSING. A
// repeated call changes nothing.
func (s *Store) CompleteRange(ctx context.Context, id string, number, parts int) error {
	return s.transact(ctx, func(tx *sqlx.Tx) error {
		// The lock waits for transactions of Record, and keeps later ones out until the commit.
		status, err := lockStatus(ctx, tx, id)
		if err != nil {
			return err
		}
		var recorded int
		err = tx.GetContext(ctx, &recorded, `SELECT count(*) FROM memexport.export_parts WHERE export_id = $1 AND range = $2`, id, number)
		if err != nil {
			return fmt.Errorf("count the parts of a range: %w", err)
		}
		if status != Processing || recorded != parts {
			return ErrConflict
		}
		_, err = tx.ExecContext(ctx, `UPDATE memexport.exports SET complete_ranges = array_append(complete_ranges, $2::integer)
			WHERE id = $1 AND $2 <> ALL(complete_ranges)`, id, number)
		if err != nil {
			return fmt.Errorf("complete a range: %w", err)
		}
		return nil
	})
}

// RangeComplete reports whether CompleteRange was called for a range. The parts of the range then do not
// change any more.
func (s *Store) RangeComplete(ctx context.Context, id string, number int) (complete bool, err error) {
	err = s.db.GetContext(ctx, &complete, `SELECT $2::integer = ANY(complete_ranges) FROM memexport.exports WHERE id = $1`, id, number)
	if err != nil {
		return false, fmt.Errorf("ask whether a range is complete: %w", err)
	}
	return complete, nil
}

// IncompleteRanges returns the ranges of an export's plan for which CompleteRange was not called, by their numbers.
func (s *Store) IncompleteRanges(ctx context.Context, id string) (map[int]memory.Range, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT range, first_created_at, first_id, last_created_at, last_id, position FROM memexport.export_ranges
		WHERE export_id = $1 AND range <> ALL((SELECT complete_ranges FROM memexport.exports WHERE id = $1)::integer[])`, id)
	if err != nil {
		return nil, fmt.Errorf("read the incomplete ranges: %w", err)
	}
	defer rows.Close()
	incomplete := map[int]memory.Range{}
	for rows.Next() {
		var number int
		var r memory.Range
		if err := rows.Scan(&number, &r.First.CreatedAt, &r.First.ID, &r.Last.CreatedAt, &r.Last.ID, &r.Position); err != nil {
			return nil, fmt.Errorf("read the incomplete ranges: %w", err)
		}
		incomplete[number] = r
	}
	return incomplete, rows.Err()
}

// Parts returns the recorded parts of an export, in the order of the file.
func (s *Store) Parts(ctx context.Context, id string) ([]Part, error) {
	return s.selectParts(ctx, `WHERE export_id = $1`, id)
}

// PartsOfRange returns the recorded parts of one range of an export, in the order of the file.
func (s *Store) PartsOfRange(ctx context.Context, id string, number int) ([]Part, error) {
	return s.selectParts(ctx, `WHERE export_id = $1 AND range = $2`, id, number)
}

func (s *Store) selectParts(ctx context.Context, where string, args ...any) ([]Part, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT range, part, object, size, checksum, continues, separated, compressed_size, crc32,
		memories, last_created_at, last_id FROM memexport.export_parts `+where+` ORDER BY range, part`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the parts: %w", err)
	}
	defer rows.Close()
	var parts []Part
	for rows.Next() {
		var p Part
		var checksum int64
		if err := rows.Scan(&p.Range, &p.Number, &p.Object, &p.Size, &checksum, &p.Continues, &p.Separated,
			&p.CompressedSize, &p.CRC, &p.Memories, &p.Last.CreatedAt, &p.Last.ID); err != nil {
			return nil, fmt.Errorf("read the parts: %w", err)
		}
		p.Checksum = uint64(checksum)
		parts = append(parts, p)
	}
	return parts, rows.Err()
}

// FooterEntries returns the footer entry of each of these parts, which follow one another in the file. It returns
// an error if the export now has other parts than these between the first and the last of them.
func (s *Store) FooterEntries(ctx context.Context, id string, parts []Part) ([][]byte, error) {
	first, last := parts[0], parts[len(parts)-1]
	var entries [][]byte
	err := s.db.SelectContext(ctx, &entries, `SELECT footer_entry FROM memexport.export_parts
		WHERE export_id = $1 AND (range, part) BETWEEN ($2::integer, $3::integer) AND ($4::integer, $5::integer) ORDER BY range, part`,
		id, first.Range, first.Number, last.Range, last.Number)
	if err == nil && len(entries) != len(parts) {
		err = fmt.Errorf("there are %d, want %d", len(entries), len(parts))
	}
	if err != nil {
		return nil, fmt.Errorf("read the footer entries: %w", err)
	}
	return entries, nil
}

// uniqueViolation reports whether err is Postgres's error for a row that already exists.
func uniqueViolation(err error) bool {
	var pqErr *pq.Error
	return errors.As(err, &pqErr) && pqErr.Code == pqerror.UniqueViolation
}
