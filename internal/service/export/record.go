package export

import (
	"encoding/json"
	"fmt"
	"time"
)

// record is a row that selectRecord returns.
type record struct {
	ID             string     `db:"id"`
	WorkspaceID    string     `db:"workspace_id"`
	Format         string     `db:"format"`
	Filter         []byte     `db:"filter"`
	Status         Status     `db:"status"`
	StoredStatus   Status     `db:"stored_status"`
	IdempotencyKey *string    `db:"idempotency_key"` // the digest that storedKey returns; selectRecord does not read this column
	CreatedBy      *string    `db:"created_by"`
	TraceParent    *string    `db:"trace_parent"`
	CreatedAt      time.Time  `db:"created_at"`
	UpdatedAt      time.Time  `db:"updated_at"`
	DispatchedAt   *time.Time `db:"dispatched_at"`
	StartedAt      *time.Time `db:"started_at"`
	CompletedAt    *time.Time `db:"completed_at"`
	ExpiresAt      *time.Time `db:"expires_at"`
	PurgedAt       *time.Time `db:"purged_at"`
	DeletedAt      *time.Time `db:"deleted_at"`
	Estimate       *int64     `db:"estimate"`
	MemoryCount    int64      `db:"memory_count"`
	SizeBytes      *int64     `db:"size_bytes"`
	SHA256         *string    `db:"sha256"`
	FileObject     *string    `db:"file_object"`
	Progress       int        `db:"progress"`
	ErrorCode      *string    `db:"error_code"`
	ErrorMessage   *string    `db:"error_message"`
	ErrorRetryable *bool      `db:"error_retryable"`
}

// recordColumns are the columns of a record. The database's clock decides whether an export is EXPIRED, so
// callers see the right status and the time of its change even if a worker is late to record EXPIRED. The memory
// count of a PROCESSING export is the sum over its parts.
const recordColumns = `id, workspace_id, format, filter, status AS stored_status, created_by, trace_parent, created_at,
	CASE WHEN status = 'READY' AND expires_at <= now() THEN expires_at ELSE updated_at END AS updated_at,
	dispatched_at, started_at, completed_at, expires_at, purged_at, deleted_at, estimate, size_bytes, sha256, file_object, progress,
	error_code, error_message, error_retryable,
	CASE WHEN status = 'READY' AND expires_at <= now() THEN 'EXPIRED' ELSE status END AS status,
	CASE WHEN status = 'PROCESSING' THEN
		(SELECT coalesce(sum(memories), 0)::bigint FROM memexport.export_parts p WHERE p.export_id = e.id)
	ELSE coalesce(memory_count, 0) END AS memory_count`

// selectRecord reads exports.
const selectRecord = `SELECT ` + recordColumns + ` FROM memexport.exports e `

func (r *record) export() (Export, error) {
	e := Export{
		ID: r.ID, WorkspaceID: r.WorkspaceID, Format: r.Format,
		Status: r.Status, StoredStatus: r.StoredStatus, CreatedBy: text(r.CreatedBy), TraceParent: text(r.TraceParent),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), DispatchedAt: utc(r.DispatchedAt),
		StartedAt: utc(r.StartedAt), CompletedAt: utc(r.CompletedAt), ExpiresAt: utc(r.ExpiresAt), PurgedAt: utc(r.PurgedAt), DeletedAt: utc(r.DeletedAt),
		MemoryCount: r.MemoryCount, SizeBytes: r.SizeBytes, SHA256: r.SHA256, FileObject: r.FileObject, Progress: r.Progress,
	}
	if err := json.Unmarshal(r.Filter, &e.Filter); err != nil {
		return e, fmt.Errorf("decode the filter of export %s: %w", r.ID, err)
	}
	if r.Status == Processing {
		e.Progress = progress(r.MemoryCount, r.Estimate)
	}
	if r.ErrorCode != nil {
		e.Failure = &Failure{Code: *r.ErrorCode, Message: *r.ErrorMessage, Retryable: *r.ErrorRetryable}
	}
	return e, nil
}

// exportsOf converts records to exports, in the same order.
func exportsOf(records []record) ([]Export, error) {
	exports := make([]Export, len(records))
	for i := range records {
		var err error
		if exports[i], err = records[i].export(); err != nil {
			return nil, err
		}
	}
	return exports, nil
}

// progress returns how much of the work is done, in percent. Until nine tenths of the estimate are written,
// it is the written share of the estimate. After that, it approaches 99 more and more slowly, because the
// estimate may be too low and the file must still be verified. The progress is 100 only once the export has become READY.
func progress(written int64, estimate *int64) int {
	if estimate == nil || *estimate == 0 {
		return 0
	}
	const linear, limit = 90, 99
	percent := 100 * float64(written) / float64(*estimate)
	if percent > linear {
		percent = limit - (limit-linear)*linear/percent
	}
	return int(percent)
}

// text returns "" for NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// utc converts a time that may be nil.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
