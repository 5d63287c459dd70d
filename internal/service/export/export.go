// Package export defines an export job and keeps it in Postgres: its parameters, its status, its
// plan and the parts of its file.
package export

import (
	"context"
	"errors"
	"math"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"memexport/internal/service/archive"
	"memexport/internal/service/memory"
)

// Status is the state of an export in its lifecycle.
type Status string

const (
	Pending    Status = "PENDING"    // accepted; it waits for a place to run, or its workflow has not begun yet
	Processing Status = "PROCESSING" // memories are being read and written
	Ready      Status = "READY"      // the whole file can be downloaded
	Failed     Status = "FAILED"     // final; Failure says why
	Expired    Status = "EXPIRED"    // the file is gone, or will be deleted when the grace period ends
)

// Statuses lists every status in the order of the lifecycle.
var Statuses = []Status{Pending, Processing, Ready, Failed, Expired}

// transitions lists, for each status, the statuses from which an export can reach it. A transition is
// a compare-and-set on the row: if two transitions race, the second one changes nothing.
var transitions = map[Status][]Status{
	Processing: {Pending},
	Ready:      {Processing},
	Failed:     {Pending, Processing},
	Expired:    {Ready},
}

// Terminal reports whether the export has finished. The status of a finished export can only change
// from READY to EXPIRED.
func (s Status) Terminal() bool { return s == Ready || s == Failed || s == Expired }

// Export is one job. All times are in UTC.
type Export struct {
	ID          string
	WorkspaceID string
	Format      string
	Filter      memory.Filter // empty once PurgedAt is set, because the filter is erased with the objects
	// Status is the status to show to callers: a READY export is EXPIRED from ExpiresAt on, even if
	// no worker has recorded that yet.
	Status Status
	// StoredStatus is the status in the row. It differs from Status only if the row still says READY
	// after ExpiresAt.
	StoredStatus   Status
	IdempotencyKey *string // set only for Create; the database stores a digest of the key

	CreatedBy   string // the id of the key or of the caller; empty for exports of earlier versions
	TraceParent string // the trace in which it was created, in the form of the header traceparent; may be empty

	CreatedAt time.Time
	UpdatedAt time.Time // when Status changed last, or when the export was deleted
	// DispatchedAt is when the export got one of its workspace's places to run. While a PENDING
	// export waits for a place, DispatchedAt is nil and its workflow must not be started.
	DispatchedAt *time.Time
	StartedAt    *time.Time
	CompletedAt  *time.Time // when the export became READY or FAILED
	ExpiresAt    *time.Time
	PurgedAt     *time.Time
	DeletedAt    *time.Time

	MemoryCount int64 // memories written so far
	SizeBytes   *int64
	SHA256      *string // digest of the whole file, in hexadecimal
	FileObject  *string // key of the object that holds the whole file, if the parts were composed
	Progress    int     // percent; it never decreases
	Failure     *Failure
}

// InTrace returns a context that belongs to the trace in which the export was created, even if another process
// does something about it later.
func (e *Export) InTrace(ctx context.Context) context.Context {
	created := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.TraceParent})
	if trace.SpanContextFromContext(created).TraceID() == trace.SpanContextFromContext(ctx).TraceID() {
		return ctx
	}
	return created
}

// Query returns the query that selects the memories of the export.
func (e *Export) Query() memory.Query {
	return memory.Query{WorkspaceID: e.WorkspaceID, Filter: e.Filter}
}

// WorkflowID returns the id of the workflow that runs an export.
func WorkflowID(exportID string) string { return "export-" + exportID }

// Failure says why an export failed, in words that are safe to show to its owner.
type Failure struct {
	Code      string // one of the constants below; it never changes its meaning
	Message   string
	Retryable bool // whether a new export may succeed

	// Cause is the error behind the failure, for the log. It is not stored.
	Cause string
}

// The codes of failures are part of the API and never change their meaning.
const (
	CodeSourceUnavailable  = "SOURCE_UNAVAILABLE"
	CodeSourceInvalid      = "SOURCE_INVALID"
	CodeStorageUnavailable = "STORAGE_UNAVAILABLE"
	CodeStorageDenied      = "STORAGE_DENIED"
	CodeStorageLimit       = "STORAGE_LIMIT"
	CodeTimedOut           = "TIMED_OUT"
	CodeCancelled          = "CANCELLED"
	CodeTerminated         = "TERMINATED"
	CodeInternal           = "INTERNAL"
)

// Failures maps each code to the failure that the owner of an export reads.
var Failures = map[string]Failure{
	CodeSourceUnavailable: {Code: CodeSourceUnavailable, Retryable: true,
		Message: "The memories could not be read for too long a time. Create a new export."},
	CodeSourceInvalid: {Code: CodeSourceInvalid, Retryable: false,
		Message: "The memories cannot be read as they are stored. Contact the operator of this service."},
	CodeStorageUnavailable: {Code: CodeStorageUnavailable, Retryable: true,
		Message: "The file could not be stored for too long a time. Create a new export."},
	CodeStorageDenied: {Code: CodeStorageDenied, Retryable: false,
		Message: "The store refused the file. Contact the operator of this service."},
	CodeStorageLimit: {Code: CodeStorageLimit, Retryable: true,
		Message: "The workspace has stored as much as it may. Delete exports that are no longer needed, or wait until they expire, and create a new export."},
	CodeTimedOut: {Code: CodeTimedOut, Retryable: true,
		Message: "The export did not finish in time. Create a new export."},
	CodeCancelled: {Code: CodeCancelled, Retryable: true,
		Message: "The export was cancelled. Create a new export if you still need it."},
	CodeTerminated: {Code: CodeTerminated, Retryable: true,
		Message: "The export was stopped by an operator. Create a new export if you still need it."},
	CodeInternal: {Code: CodeInternal, Retryable: false,
		Message: "The export failed for a reason that has been logged. Contact the operator of this service."},
}

// Errors of the store.
var (
	ErrNotFound = errors.New("no such export")
	// ErrConflict means that another caller was first: it changed the status of the export, or recorded
	// the same part. It also means that a part is missing before the part to record.
	ErrConflict = errors.New("the export is no longer in the state that this operation needs")
	// ErrCreatorGone means that the API key that creates an export has been deleted.
	ErrCreatorGone = errors.New("the API key has been deleted")
	// ErrKeyReused means that the idempotency key belongs to an export with other parameters.
	ErrKeyReused = errors.New("the idempotency key was used with other parameters")
)

// Part is a recorded piece of the file. It ends with the memory whose key is Last, or in the middle
// of that memory if the memory is too large for one part.
type Part struct {
	archive.Part
	Range    int
	Number   int   // number of the part within its range, from 0
	Memories int64 // memories whose encoding ends in this part
	Last     memory.Key

	// FooterEntry describes the part for the footer of the file, see format.Encoder. It is nil if the
	// format has no footer. Parts and PartsOfRange leave it nil; use FooterEntries to read it.
	FooterEntry []byte
}

// FooterRange is the number of the range that holds the footer of the file. It is greater than the number of
// every range in a plan. Its parts are numbered from the number of parts that the footer describes.
const FooterRange = math.MaxInt32

// Stored returns the archive.Part of each part.
func Stored(parts []Part) []archive.Part {
	stored := make([]archive.Part, len(parts))
	for i, p := range parts {
		stored[i] = p.Part
	}
	return stored
}

// Written counts recorded parts. Activities take and return it as JSON, so its encoding must not
// change.
type Written struct {
	Parts    int   `json:"parts"`
	Memories int64 `json:"memories"`
	Bytes    int64 `json:"bytes"` // uncompressed
}

// Count returns the number of parts, and of the memories and bytes in them.
func Count(parts []Part) Written {
	total := Written{Parts: len(parts)}
	for _, p := range parts {
		total.Memories += p.Memories
		total.Bytes += p.Size
	}
	return total
}

// Plus returns the sum of w and other.
func (w Written) Plus(other Written) Written {
	return Written{Parts: w.Parts + other.Parts, Memories: w.Memories + other.Memories, Bytes: w.Bytes + other.Bytes}
}
