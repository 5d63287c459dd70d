package export

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"memexport/internal/service/memory"
)

// Start records the plan and makes a PENDING export PROCESSING. If it is PROCESSING already, the
// plan of that time stands and is returned: an activity may run twice. The slice is as given else.
func (s *Store) Start(ctx context.Context, id string, ranges []memory.PlannedRange) ([]memory.PlannedRange, error) {
	err := s.transact(ctx, func(tx *sqlx.Tx) error {
		status, err := lockStatus(ctx, tx, id, "UPDATE")
		if err != nil {
			return err
		}
		switch status {
		case Pending:
			return insertPlan(ctx, tx, id, ranges)
		case Processing, Ready:
			ranges, err = selectPlan(ctx, tx, id)
			return err
		}
		return ErrConflict
	})
	return ranges, err
}

func insertPlan(ctx context.Context, tx *sqlx.Tx, id string, ranges []memory.PlannedRange) error {
	var estimate int64
	for i, r := range ranges {
		estimate += r.Estimate
		_, err := tx.ExecContext(ctx, `INSERT INTO memexport.export_ranges
			(export_id, range, first_created_at, first_id, last_created_at, last_id, estimate) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			id, i, int64(r.First.CreatedAt), r.First.ID, int64(r.Last.CreatedAt), r.Last.ID, r.Estimate)
		if err != nil {
			return fmt.Errorf("record a range: %w", err)
		}
	}
	return transition(ctx, tx, id, Processing, `started_at = now(), estimate = $4`, estimate)
}

func selectPlan(ctx context.Context, tx *sqlx.Tx, id string) ([]memory.PlannedRange, error) {
	rows, err := tx.QueryContext(ctx, `SELECT first_created_at, first_id, last_created_at, last_id, estimate
		FROM memexport.export_ranges WHERE export_id = $1 ORDER BY range`, id)
	if err != nil {
		return nil, fmt.Errorf("read the ranges: %w", err)
	}
	defer rows.Close()
	var ranges []memory.PlannedRange
	for rows.Next() {
		var r memory.PlannedRange
		if err := rows.Scan(&r.First.CreatedAt, &r.First.ID, &r.Last.CreatedAt, &r.Last.ID, &r.Estimate); err != nil {
			return nil, fmt.Errorf("read the ranges: %w", err)
		}
		ranges = append(ranges, r)
	}
	return ranges, rows.Err()
}

// Record adds parts that belong together: all of them or none. ErrConflict says that another
// attempt has recorded one of them, or that the export is no longer PROCESSING: the caller must
// stop, and its objects are orphans.
func (s *Store) Record(ctx context.Context, id string, parts []Part) error {
	err := s.transact(ctx, func(tx *sqlx.Tx) error {
		// The share lock keeps the status from changing until the parts are in.
		status, err := lockStatus(ctx, tx, id, "SHARE")
		if err != nil {
			return err
		}
		if status != Processing {
			return ErrConflict
		}
		for _, p := range parts {
			_, err := tx.ExecContext(ctx, `INSERT INTO memexport.export_parts
				(export_id, range, part, object, size, checksum, continues, separated, compressed_size, crc32, memories, last_created_at, last_id)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, id, p.Range, p.Number, p.Object, p.Size,
				int64(p.Checksum), p.Continues, p.Separated, p.CompressedSize, int64(p.CRC), p.Memories, int64(p.Last.CreatedAt), p.Last.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if uniqueViolation(err) {
		return ErrConflict
	}
	return err
}

// Parts returns the recorded parts of an export in the order of the file; of one range only, if
// that is not negative.
func (s *Store) Parts(ctx context.Context, id string, onlyRange int) ([]Part, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT range, part, object, size, checksum, continues, separated, compressed_size, crc32, memories, last_created_at, last_id
		FROM memexport.export_parts WHERE export_id = $1 AND ($2 < 0 OR range = $2) ORDER BY range, part`, id, onlyRange)
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

// File is what a READY export has.
type File struct {
	Memories int64
	Size     int64 // bytes
	SHA256   []byte
	Object   string // its key, if the file is also there as one object
}

// Publish makes a PROCESSING export READY until retention has passed, and returns it. One that is
// READY already is returned as it is.
func (s *Store) Publish(ctx context.Context, id string, f File, retention time.Duration) (Export, error) {
	err := s.transition(ctx, id, Ready, `completed_at = now(), expires_at = now() + $4 * interval '1 microsecond',
		memory_count = $5, size_bytes = $6, sha256 = $7, file_object = nullif($8, ''), progress = 100`,
		retention.Microseconds(), f.Memories, f.Size, hex.EncodeToString(f.SHA256), f.Object)
	if err != nil && !errors.Is(err, ErrConflict) {
		return Export{}, err
	}
	e, findErr := s.Find(ctx, id)
	if findErr == nil && e.ExpiresAt == nil {
		findErr = ErrConflict // it failed in the meantime
	}
	return e, findErr
}

// Fail makes a PENDING or PROCESSING export FAILED and freezes its progress. ErrConflict says that
// it was neither.
func (s *Store) Fail(ctx context.Context, id string, f Failure) error {
	return s.transact(ctx, func(tx *sqlx.Tx) error {
		status, err := lockStatus(ctx, tx, id, "UPDATE")
		if err != nil {
			return err
		}
		if status != Pending && status != Processing {
			return ErrConflict
		}
		var r record
		if err := tx.GetContext(ctx, &r, selectRecord+`WHERE id = $1`, id); err != nil {
			return err
		}
		e, err := r.export()
		if err != nil {
			return err
		}
		return transition(ctx, tx, id, Failed, `completed_at = now(), error_code = $4, error_message = $5, error_retryable = $6,
			progress = $7, memory_count = $8`, f.Code, f.Message, f.Retryable, e.Progress, e.MemoryCount)
	})
}

// Expire makes a READY export EXPIRED. ErrConflict says that it was not READY.
func (s *Store) Expire(ctx context.Context, id string) error {
	return s.transition(ctx, id, Expired, `expires_at = least(expires_at, now())`)
}

// Purged records that no object of the export is left, and forgets its ranges and parts.
func (s *Store) Purged(ctx context.Context, id string) error {
	return s.transact(ctx, func(tx *sqlx.Tx) error {
		for _, statement := range []string{
			`DELETE FROM memexport.export_parts WHERE export_id = $1`,
			`DELETE FROM memexport.export_ranges WHERE export_id = $1`,
			`UPDATE memexport.exports SET purged_at = coalesce(purged_at, now()), file_object = NULL, updated_at = now() WHERE id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return fmt.Errorf("record a purge: %w", err)
			}
		}
		return nil
	})
}

// transition is the compare-and-set of the status; set has more assignments, whose parameters
// start at $4.
func transition(ctx context.Context, tx sqlx.ExecerContext, id string, to Status, set string, args ...any) error {
	result, err := tx.ExecContext(ctx, `UPDATE memexport.exports SET status = $2, updated_at = now(), `+set+`
		WHERE id = $1 AND status = ANY($3)`, append([]any{id, to, pq.Array(transitions[to])}, args...)...)
	if err != nil {
		return fmt.Errorf("make an export %s: %w", to, err)
	}
	if changed, err := result.RowsAffected(); err != nil {
		return err
	} else if changed == 0 {
		return ErrConflict
	}
	return nil
}

func (s *Store) transition(ctx context.Context, id string, to Status, set string, args ...any) error {
	return transition(ctx, s.db, id, to, set, args...)
}

// lockStatus reads the status and keeps it from changing until the transaction ends. The lock is
// one of Postgres's row locks: UPDATE to change the status, SHARE to rely on it beside others.
func lockStatus(ctx context.Context, tx *sqlx.Tx, id, lock string) (Status, error) {
	var status Status
	err := tx.GetContext(ctx, &status, `SELECT status FROM memexport.exports WHERE id = $1 FOR `+lock, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("lock an export: %w", err)
	}
	return status, nil
}

func (s *Store) transact(ctx context.Context, do func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
