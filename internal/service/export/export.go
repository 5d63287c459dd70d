// Package export is the job: what is asked for, what has become of it, and its rows in Postgres.
package export

import (
	"errors"
	"time"

	"memexport/internal/service/archive"
	"memexport/internal/service/memory"
)

// Status is where an export stands.
type Status string

const (
	Pending    Status = "PENDING"    // accepted; its workflow may not have started yet
	Processing Status = "PROCESSING" // memories are being read and written
	Ready      Status = "READY"      // the whole file can be downloaded
	Failed     Status = "FAILED"     // for good; see Failure
	Expired    Status = "EXPIRED"    // the file is gone, or will be within the grace period
)

// Statuses are all of them, in the order of the lifecycle.
var Statuses = []Status{Pending, Processing, Ready, Failed, Expired}

// transitions are the legal ones. Each is a compare-and-set on the row, so that of two that race
// one changes nothing.
var transitions = map[Status][]Status{
	Processing: {Pending},
	Ready:      {Processing},
	Failed:     {Pending, Processing},
	Expired:    {Ready},
}

// Terminal reports whether the status can change no more, except for expiry.
func (s Status) Terminal() bool { return s == Ready || s == Failed || s == Expired }

// Export is one job, as its row has it. Times are in UTC.
type Export struct {
	ID             string
	WorkspaceID    string
	Format         string
	Filter         memory.Filter
	Status         Status // EXPIRED from expires_at on, whether or not a worker has been there yet
	IdempotencyKey *string

	CreatedAt   time.Time
	UpdatedAt   time.Time
	StartedAt   *time.Time
	CompletedAt *time.Time // READY or FAILED
	ExpiresAt   *time.Time
	PurgedAt    *time.Time
	DeletedAt   *time.Time

	MemoryCount int64 // written so far
	SizeBytes   *int64
	SHA256      *string // of the whole file, hexadecimal
	FileObject  *string // the key of the file as one object, if it was composed
	Progress    int     // percent, never falling
	Failure     *Failure
}

// Query is what the export reads.
func (e *Export) Query() memory.Query {
	return memory.Query{WorkspaceID: e.WorkspaceID, Filter: e.Filter}
}

// WorkflowID is the id of the workflow that runs an export.
func WorkflowID(exportID string) string { return "export-" + exportID }

// Part is a recorded piece of the file: whole memories of one range, up to and including Last.
type Part struct {
	archive.Part
	Range    int
	Number   int
	Memories int64 // that end in this part
	Last     memory.Key
}

// Stored are the objects of parts.
func Stored(parts []Part) []archive.Part {
	stored := make([]archive.Part, len(parts))
	for i, p := range parts {
		stored[i] = p.Part
	}
	return stored
}

// Failure says why an export failed, in words that are safe to show to its owner.
type Failure struct {
	Code      string // stable, see the constants
	Message   string
	Retryable bool // whether a new export may well succeed
}

// The codes of failures; they are part of the API and never change their meaning.
const (
	CodeSourceUnavailable  = "SOURCE_UNAVAILABLE"
	CodeSourceInvalid      = "SOURCE_INVALID"
	CodeStorageUnavailable = "STORAGE_UNAVAILABLE"
	CodeStorageDenied      = "STORAGE_DENIED"
	CodeTimedOut           = "TIMED_OUT"
	CodeCancelled          = "CANCELLED"
	CodeTerminated         = "TERMINATED"
	CodeInternal           = "INTERNAL"
)

// Failures are all of them by code, each with the words that its owner reads.
var Failures = map[string]Failure{
	CodeSourceUnavailable:  {CodeSourceUnavailable, "The memories could not be read for too long a time. Create a new export.", true},
	CodeSourceInvalid:      {CodeSourceInvalid, "The memories cannot be read as they are stored. Contact the operator of this service.", false},
	CodeStorageUnavailable: {CodeStorageUnavailable, "The file could not be stored for too long a time. Create a new export.", true},
	CodeStorageDenied:      {CodeStorageDenied, "The store refused the file. Contact the operator of this service.", false},
	CodeTimedOut:           {CodeTimedOut, "The export did not finish in time. Create a new export.", true},
	CodeCancelled:          {CodeCancelled, "The export was cancelled. Create a new export if you still need it.", true},
	CodeTerminated:         {CodeTerminated, "The export was stopped by an operator. Create a new export if you still need it.", true},
	CodeInternal:           {CodeInternal, "The export failed for a reason that has been logged. Contact the operator of this service.", false},
}

// Errors of the store.
var (
	ErrNotFound = errors.New("no such export")
	// ErrConflict is a transition or a part that came too late: somebody else was first.
	ErrConflict = errors.New("the export is no longer in the state that this needs")
	// ErrKeyReused is an idempotency key that was used for an export with other parameters.
	ErrKeyReused = errors.New("the idempotency key was used with other parameters")
)
