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

// Start records the plan of a PENDING export, makes it PROCESSING and returns the plan. If an earlier
// call has started the export, Start changes nothing and returns the plan of that call, because an
// activity may run twice. It returns ErrConflict if the export is FAILED or EXPIRED.
func (s *Store) Start(ctx context.Context, id string, ranges []memory.PlannedRange) ([]memory.PlannedRange, error) {
	e, err := insertPlan(ctx, s.db, id, ranges)
	if err == nil {
		s.observe(ctx, StepStarted, e)
	}
	if !errors.Is(err, ErrConflict) {
		return ranges, err
	}
	if e, err = s.Find(ctx, id); err != nil {
		return nil, err
	}
	if e.StoredStatus != Processing && e.StoredStatus != Ready {
		return nil, ErrConflict
	}
	return s.selectPlan(ctx, id)
}

// insertPlan makes a PENDING export PROCESSING, records its ranges in the same statement, and returns the
// export. It returns ErrConflict if the export has another status.
func insertPlan(ctx context.Context, q sqlx.QueryerContext, id string, ranges []memory.PlannedRange) (Export, error) {
	var estimate int64
	n := len(ranges)
	numbers, firstTimes, lastTimes, estimates, positions := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	firstIDs, lastIDs := make([]string, n), make([]string, n)
	for i, r := range ranges {
		numbers[i], estimates[i], positions[i] = int64(i), r.Estimate, r.Position
		firstTimes[i], firstIDs[i] = int64(r.First.CreatedAt), r.First.ID
		lastTimes[i], lastIDs[i] = int64(r.Last.CreatedAt), r.Last.ID
		estimate += r.Estimate
	}
	var r record
	err := sqlx.GetContext(ctx, q, &r, `WITH started AS (
			UPDATE memexport.exports SET status = $2, updated_at = now(), started_at = now(), estimate = $4
			WHERE id = $1 AND status = ANY($3) RETURNING *),
		planned AS (
			INSERT INTO memexport.export_ranges (export_id, range, first_created_at, first_id, last_created_at, last_id, estimate, position)
			SELECT started.id, planned.* FROM started,
				unnest($5::integer[], $6::bigint[], $7::uuid[], $8::bigint[], $9::uuid[], $10::bigint[], $11::bigint[]) AS planned)
		SELECT `+recordColumns+` FROM started e`, id, Processing, pq.Array(transitions[Processing]), estimate,
		pq.Array(numbers), pq.Array(firstTimes), pq.Array(firstIDs), pq.Array(lastTimes), pq.Array(lastIDs), pq.Array(estimates), pq.Array(positions))
	if errors.Is(err, sql.ErrNoRows) {
		return Export{}, ErrConflict
	}
	if err != nil {
		return Export{}, fmt.Errorf("record the ranges: %w", err)
	}
	return r.export()
}

func (s *Store) selectPlan(ctx context.Context, id string) ([]memory.PlannedRange, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT first_created_at, first_id, last_created_at, last_id, estimate, position
		FROM memexport.export_ranges WHERE export_id = $1 ORDER BY range`, id)
	if err != nil {
		return nil, fmt.Errorf("read the ranges: %w", err)
	}
	defer rows.Close()
	var ranges []memory.PlannedRange
	for rows.Next() {
		var r memory.PlannedRange
		if err := rows.Scan(&r.First.CreatedAt, &r.First.ID, &r.Last.CreatedAt, &r.Last.ID, &r.Estimate, &r.Position); err != nil {
			return nil, fmt.Errorf("read the ranges: %w", err)
		}
		ranges = append(ranges, r)
	}
	return ranges, rows.Err()
}

// File describes the whole file of a READY export.
type File struct {
	Parts    int // recorded parts, with the footer
	Memories int64
	Size     int64 // bytes
	SHA256   []byte
	Object   string // key of the object that holds the whole file; empty if there is none
}

// Publish makes a PROCESSING export READY, sets its expiry to retention from now, and returns the
// export. An export that has been published before is returned unchanged. Publish returns ErrConflict
// if the export is PENDING or FAILED, or if its recorded parts do not have the counts in f: Postgres may have
// lost a part after the caller counted them.
func (s *Store) Publish(ctx context.Context, id string, f File, retention time.Duration) (Export, error) {
	e, err := s.transition(ctx, id, Ready, StepReady, `($9, $5::bigint) = (SELECT count(*), coalesce(sum(memories), 0) FROM memexport.export_parts WHERE export_id = $1)`,
		`completed_at = now(), expires_at = now() + $4 * interval '1 microsecond',
		memory_count = $5, size_bytes = $6, sha256 = $7, file_object = nullif($8, ''), progress = 100,
		stored_bytes = `+recordedBytes+` + CASE WHEN $8 <> '' THEN $6::bigint ELSE 0 END`,
		retention.Microseconds(), f.Memories, f.Size, hex.EncodeToString(f.SHA256), f.Object, f.Parts)
	if !errors.Is(err, ErrConflict) {
		return e, err
	}
	e, err = s.Find(ctx, id)
	if err == nil && e.ExpiresAt == nil {
		err = ErrConflict // the export failed before it could be published, or the counts differ
	}
	return e, err
}

// Fail makes a PENDING or PROCESSING export FAILED and records its progress so far. It returns
// ErrConflict if the export has another status.
func (s *Store) Fail(ctx context.Context, id string, f Failure) error {
	var failed Export
	err := s.transact(ctx, func(tx *sqlx.Tx) error {
		status, err := lockStatus(ctx, tx, id)
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
		failed, err = transition(ctx, tx, id, Failed, `true`, `completed_at = now(), error_code = $4, error_message = $5, error_retryable = $6,
			progress = $7, memory_count = $8, stored_bytes = `+recordedBytes, f.Code, f.Message, f.Retryable, e.Progress, e.MemoryCount)
		return err
	})
	if err == nil {
		failed.Failure.Cause = f.Cause
		s.observe(ctx, StepFailed, failed)
	}
	return err
}

// Expire makes a READY export EXPIRED. If its expiry is still in the future, Expire sets it to now.
// It returns ErrConflict if the export has another status.
func (s *Store) Expire(ctx context.Context, id string) error { return s.expire(ctx, id, `true`) }

// ExpireDue is like Expire, but it changes nothing while the expiry is still in the future by the clock of Postgres.
// Then it returns the time that is left. Nobody downloads a deleted export, so ExpireDue makes it EXPIRED at once.
func (s *Store) ExpireDue(ctx context.Context, id string) (left time.Duration, err error) {
	err = s.expire(ctx, id, `(expires_at <= now() OR deleted_at IS NOT NULL)`)
	if !errors.Is(err, ErrConflict) {
		return 0, err
	}
	var micros int64
	err = s.db.GetContext(ctx, &micros, `SELECT greatest(extract(epoch FROM expires_at - now()) * 1000000, 1)::bigint
		FROM memexport.exports WHERE id = $1 AND status = $2`, id, Ready)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("ask when an export expires: %w", err)
	}
	return time.Duration(micros) * time.Microsecond, nil
}

func (s *Store) expire(ctx context.Context, id, condition string) error {
	_, err := s.transition(ctx, id, Expired, StepExpired, condition, `expires_at = least(expires_at, now())`)
	return err
}

// Purged records that the objects of the export are deleted. In the same transaction it deletes the
// ranges and parts, and erases the filter and the idempotency key. A second call changes nothing.
func (s *Store) Purged(ctx context.Context, id string) error {
	var purged Export
	err := s.transact(ctx, func(tx *sqlx.Tx) (err error) {
		// The row of the export comes first, as in Remove. In another order, the two could wait for each other.
		purged, err = updateOne(ctx, tx, `purged_at = now(), file_object = NULL, `+erasure+` WHERE id = $1 AND purged_at IS NULL`, id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("record a purge: %w", err)
		}
		for _, statement := range []string{
			`DELETE FROM memexport.export_parts WHERE export_id = $1`,
			`DELETE FROM memexport.export_ranges WHERE export_id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return fmt.Errorf("record a purge: %w", err)
			}
		}
		return nil
	})
	if err == nil && purged.ID != "" {
		s.observe(ctx, StepPurged, purged)
	}
	return err
}

// recordedBytes is the SQL expression for the bytes of the recorded parts of the export $1.
const recordedBytes = `(SELECT coalesce(sum(` + partBytes + `), 0)::bigint FROM memexport.export_parts WHERE export_id = $1)`

// transition changes the status of an export and returns the export. set holds further SQL assignments. The
// parameters of condition and set start at $4. transition returns ErrConflict if the export does not exist, if
// the map named transitions does not allow the change, or if the SQL condition is false.
func transition(ctx context.Context, q sqlx.QueryerContext, id string, to Status, condition, set string, args ...any) (Export, error) {
	changed := `now()`
	if to == Expired {
		changed = `least(expires_at, now())` // from expires_at on, callers have seen the export as EXPIRED
	}
	e, err := updateOne(ctx, q, `status = $2, updated_at = `+changed+`, `+set+` WHERE id = $1 AND status = ANY($3) AND `+condition,
		append([]any{id, to, pq.Array(transitions[to])}, args...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrConflict
	}
	if err != nil {
		return e, fmt.Errorf("make an export %s: %w", to, err)
	}
	return e, nil
}

// transition is like the function transition, and calls the observer.
func (s *Store) transition(ctx context.Context, id string, to Status, step Step, condition, set string, args ...any) (Export, error) {
	e, err := transition(ctx, s.db, id, to, condition, set, args...)
	if err == nil {
		s.observe(ctx, step, e)
	}
	return e, err
}

// lockStatus reads the status of an export and keeps other transactions from locking or changing the row until
// the transaction ends.
func lockStatus(ctx context.Context, tx *sqlx.Tx, id string) (Status, error) {
	var status Status
	err := tx.GetContext(ctx, &status, `SELECT status FROM memexport.exports WHERE id = $1 FOR UPDATE`, id)
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
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
