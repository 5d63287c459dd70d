package attempt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"go.temporal.io/sdk/activity"
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
	TypeOvertaken           = "Overtaken"           // retryable: another attempt has recorded the same part, completed the range or published the export, or Postgres has lost a part
	TypeSourceInvalid       = "SourceInvalid"       // final: a value in the memories table cannot be exported
	TypeSourceChanged       = "SourceChanged"       // retryable: the memories table, a column or a permission is missing now
	TypeSourceUnavailable   = "SourceUnavailable"   // retryable: the memories cannot be read now
	TypeStorageDenied       = "StorageDenied"       // final: the object store denies access
	TypeStorageUnavailable  = "StorageUnavailable"  // retryable: the object store cannot be used now
	TypeStorageFull         = "StorageFull"         // retryable: the object store has no room now
	TypeStorageCorrupt      = "StorageCorrupt"      // final: the object store returns other bytes than were written
	TypeDatabaseUnavailable = "DatabaseUnavailable" // retryable: the service's own tables cannot be used now
	TypeCountMismatch       = "CountMismatch"       // final: the ranges and the recorded parts disagree, or a part is missing between others
	TypeSweepIncomplete     = "SweepIncomplete"     // final: the sweep could not delete some objects; the next sweep tries again
	TypeWorkerStopping      = "WorkerStopping"      // retryable, by the workflow and not by Temporal: the worker shuts down
	TypeInterrupted         = "Interrupted"         // retryable: the worker has lost its connection to Temporal, or an operator has paused or reset the activity
)

// FailureCodes maps the type of the error that ended an export to the code that its owner sees. Any
// other type becomes export.CodeInternal.
var FailureCodes = map[string]string{
	TypeExportDeleted:       export.CodeCancelled,
	TypeSourceInvalid:       export.CodeSourceInvalid,
	TypeSourceChanged:       export.CodeSourceInvalid,
	TypeSourceUnavailable:   export.CodeSourceUnavailable,
	TypeStorageDenied:       export.CodeStorageDenied,
	TypeStorageUnavailable:  export.CodeStorageUnavailable,
	TypeStorageFull:         export.CodeStorageUnavailable,
	TypeStorageCorrupt:      export.CodeStorageUnavailable,
	TypeDatabaseUnavailable: export.CodeTimedOut,
	TypeOvertaken:           export.CodeTimedOut,
	TypeWorkerStopping:      export.CodeTimedOut, // no other worker took over the activity before its time was up
	TypeInterrupted:         export.CodeTimedOut,
}

// FailureCode returns the code with which an export fails when one of its activities fails with err.
// cancelled says whether the workflow was cancelled. Temporal does not retry the activities of a cancelled
// workflow. So if such an activity times out or returns a retryable error, the reason is the cancellation.
func FailureCode(err error, cancelled bool) string {
	var applicationErr *temporal.ApplicationError
	var timeoutErr *temporal.TimeoutError
	final := errors.As(err, &applicationErr) && applicationErr.NonRetryable()
	switch {
	case temporal.IsCanceledError(err), cancelled && !final:
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

// Cause returns the type and the message of an activity's error. It leaves out what Temporal adds to the
// message, such as the name of the activity and of the worker. If err has no type, Cause returns err.Error().
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

// longestMessage is the most bytes that SafeMessage returns. A store's SDK may put a whole page of HTML into its error.
const longestMessage = 4 << 10

// SafeMessage returns the text of err as valid UTF-8, because gRPC does not send other texts, and cuts it after 4 KiB.
// For an error of Postgres it returns only the name and the code: the text may quote a memory, and a memory must not
// reach Temporal's history or a log.
func SafeMessage(err error) string {
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		return fmt.Sprintf("Postgres: %s (SQLSTATE %s)", pqErr.Code.Name(), pqErr.Code)
	}
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), longestMessage)], "?")
}

// SourceError classifies an error from reading the memories. The error that it returns names the table. If
// ctx has ended, SourceError returns Interruption(ctx), because err is then only a consequence. If ctx has
// not ended and err is nil, SourceError returns nil. The same holds for StorageError and DatabaseError.
func SourceError(ctx context.Context, table string, err error) error {
	if err == nil || ctx.Err() != nil {
		return Interruption(ctx)
	}
	named := fmt.Errorf("the table %q: %s", table, SafeMessage(err))
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		switch pqErr.Code.Class() {
		case pqerror.ClassDataException, pqerror.ClassProgramLimitExceeded:
			return Final(TypeSourceInvalid, named)
		case pqerror.ClassSyntaxErrorOrAccessRuleViolation:
			return sourceChanged(ctx, named)
		}
	}
	if errors.Is(err, memory.ErrUnreadable) {
		return Final(TypeSourceInvalid, named)
	}
	return Retryable(TypeSourceUnavailable, named)
}

// sourceChanged returns a retryable error for a table, column or permission that is missing, or for row-level
// security that applies now. A migration of the memory service may undo it within seconds. For a longer absence, the pause between the retries
// grows from 15 seconds to 15 minutes.
func sourceChanged(ctx context.Context, err error) error {
	const shortest, longest = 15 * time.Second, 15 * time.Minute
	delay := shortest
	if activity.IsActivity(ctx) {
		delay = min(longest, shortest<<min(activity.GetInfo(ctx).Attempt-1, 10))
	}
	err = fmt.Errorf("%w: check MEMORIES_TABLE, its columns, and that the user of MEMORIES_DATABASE_URL may read it and bypasses row-level security", err)
	return temporal.NewApplicationErrorWithOptions(err.Error(), TypeSourceChanged, temporal.ApplicationErrorOptions{NextRetryDelay: delay})
}

// StorageError classifies an error from the object store.
func StorageError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return Interruption(ctx)
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
		return Interruption(ctx)
	case errors.Is(err, export.ErrNotFound), errors.Is(err, sql.ErrNoRows):
		return Final(TypeInvalidExport, err)
	case errors.Is(err, export.ErrConflict):
		return Final(TypeExportClosed, err)
	}
	return Retryable(TypeDatabaseUnavailable, err)
}
