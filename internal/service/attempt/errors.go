package attempt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// The types of the application errors that activities return. Temporal retries an activity after a
// retryable error, and never after a final one.
const (
	TypeInvalidExport       = "InvalidExport"       // final: the export does not exist or has an unknown format
	TypeExportDeleted       = "ExportDeleted"       // final: the owner deleted the export before it began
	TypeExportClosed        = "ExportClosed"        // final: the export is no longer in the state that the activity needs
	TypeOvertaken           = "Overtaken"           // retryable: another attempt is writing the same range
	TypeSourceInvalid       = "SourceInvalid"       // final: the memories table, or a value in it, cannot be exported
	TypeSourceUnavailable   = "SourceUnavailable"   // retryable: the memories cannot be read now
	TypeStorageDenied       = "StorageDenied"       // final: the object store denies access
	TypeStorageUnavailable  = "StorageUnavailable"  // retryable: the object store cannot be used now
	TypeStorageFull         = "StorageFull"         // retryable: the object store has no room now
	TypeStorageCorrupt      = "StorageCorrupt"      // final: the object store returns other bytes than were written
	TypeDatabaseUnavailable = "DatabaseUnavailable" // retryable: the service's own tables cannot be used now
	TypeCountMismatch       = "CountMismatch"       // final: the ranges and the recorded parts disagree
)

// FailureCodes maps the type of the error that ended an export to the code that its owner sees. Any
// other type becomes export.CodeInternal.
var FailureCodes = map[string]string{
	TypeExportDeleted:       export.CodeCancelled,
	TypeSourceInvalid:       export.CodeSourceInvalid,
	TypeSourceUnavailable:   export.CodeSourceUnavailable,
	TypeStorageDenied:       export.CodeStorageDenied,
	TypeStorageUnavailable:  export.CodeStorageUnavailable,
	TypeStorageFull:         export.CodeStorageUnavailable,
	TypeStorageCorrupt:      export.CodeStorageUnavailable,
	TypeDatabaseUnavailable: export.CodeTimedOut,
	TypeOvertaken:           export.CodeTimedOut,
}

// FailureCode returns the code with which an export fails when one of its activities fails with err.
func FailureCode(err error) string {
	var applicationErr *temporal.ApplicationError
	var timeoutErr *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		return export.CodeCancelled
	case errors.As(err, &applicationErr):
		if code, ok := FailureCodes[applicationErr.Type()]; ok {
			return code
		}
		return export.CodeInternal
	case errors.As(err, &timeoutErr):
		return export.CodeTimedOut
	}
	return export.CodeInternal
}

// Cause describes the error with which an activity failed: its type and its message, without the names that
// Temporal adds.
func Cause(err error) string {
	var applicationErr *temporal.ApplicationError
	if errors.As(err, &applicationErr) {
		return applicationErr.Type() + ": " + applicationErr.Message()
	}
	return err.Error()
}

// IsStorageFull reports whether err is the error of an activity that failed because the store has no
// room.
func IsStorageFull(err error) bool { return ErrorType(err) == TypeStorageFull }

// ErrorType returns the type of an activity's error: one of the constants above, or "" if err has none.
func ErrorType(err error) string {
	var applicationErr *temporal.ApplicationError
	if errors.As(err, &applicationErr) {
		return applicationErr.Type()
	}
	return ""
}

// Final returns an error after which Temporal does not retry the activity.
func Final(errorType string, err error) error {
	return temporal.NewNonRetryableApplicationError(SafeMessage(err), errorType, nil)
}

// Retryable returns an error after which Temporal retries the activity.
func Retryable(errorType string, err error) error {
	return temporal.NewApplicationError(SafeMessage(err), errorType)
}

// SafeMessage returns the text of err. For an error of Postgres it returns only the name and the code:
// the text may quote a memory, and a memory must not reach Temporal's history or a log.
func SafeMessage(err error) string {
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		return fmt.Sprintf("Postgres: %s (SQLSTATE %s)", pqErr.Code.Name(), pqErr.Code)
	}
	return err.Error()
}

// SourceError classifies an error from reading memories. If ctx has ended, SourceError returns
// ctx.Err(), because err is then only a consequence of the end of ctx. Otherwise it returns nil if
// err is nil. StorageError and DatabaseError treat ctx and nil in the same way.
func SourceError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		switch pqErr.Code.Class() {
		case "22", "42": // data exception; syntax error or access rule violation
			return Final(TypeSourceInvalid, err)
		}
	}
	if errors.Is(err, memory.ErrUnreadable) {
		return Final(TypeSourceInvalid, err)
	}
	return Retryable(TypeSourceUnavailable, err)
}

// StorageError classifies an error from the object store.
func StorageError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case archive.Denied(err):
		return Final(TypeStorageDenied, err)
	case errors.Is(err, archive.ErrCorrupt):
		return Final(TypeStorageCorrupt, err)
	case archive.Full(err):
		return Retryable(TypeStorageFull, err)
	}
	return Retryable(TypeStorageUnavailable, err)
}

// DatabaseError classifies an error from the service's own tables.
func DatabaseError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, export.ErrNotFound), errors.Is(err, sql.ErrNoRows):
		return Final(TypeInvalidExport, err)
	case errors.Is(err, export.ErrConflict):
		return Final(TypeExportClosed, err)
	}
	return Retryable(TypeDatabaseUnavailable, err)
}
