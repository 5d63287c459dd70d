package attempt_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

func sourceError(ctx context.Context, err error) error { return attempt.SourceError(ctx, "facts", err) }

func TestErrorsAreClassified(t *testing.T) {
	postgres := func(code pqerror.Code) error {
		return fmt.Errorf("read: %w", &pq.Error{Code: code, Message: "quoted memory"})
	}
	const final, retryable = true, false
	for _, c := range []struct {
		classify func(context.Context, error) error
		err      error
		want     string // the type
		final    bool
	}{
		{sourceError, postgres("22012"), attempt.TypeSourceInvalid, final},     // division by zero
		{sourceError, postgres("22P02"), attempt.TypeSourceInvalid, final},     // invalid text
		{sourceError, postgres("54000"), attempt.TypeSourceInvalid, final},     // a value of more than 1 GB
		{sourceError, postgres("42P01"), attempt.TypeSourceChanged, retryable}, // no such table
		{sourceError, postgres("42501"), attempt.TypeSourceChanged, retryable}, // no privilege
		{sourceError, postgres("42703"), attempt.TypeSourceChanged, retryable}, // no such column
		{sourceError, fmt.Errorf("scan: %w", memory.ErrUnreadable), attempt.TypeSourceInvalid, final},
		{sourceError, postgres("40001"), attempt.TypeSourceUnavailable, retryable}, // serialization
		{sourceError, postgres("55P03"), attempt.TypeSourceUnavailable, retryable}, // a lock is not available
		{sourceError, postgres("53300"), attempt.TypeSourceUnavailable, retryable}, // too many connections
		{sourceError, postgres("57P01"), attempt.TypeSourceUnavailable, retryable}, // shutdown
		{sourceError, postgres("57014"), attempt.TypeSourceUnavailable, retryable}, // cancelled by an operator
		{sourceError, postgres("08006"), attempt.TypeSourceUnavailable, retryable}, // connection failure
		{sourceError, errors.New("no route to host"), attempt.TypeSourceUnavailable, retryable},
		{attempt.StorageError, fmt.Errorf("put: %w", fs.ErrPermission), attempt.TypeStorageDenied, final},
		{attempt.StorageError, fmt.Errorf("read: %w", archive.ErrCorrupt), attempt.TypeStorageCorrupt, final},
		{attempt.StorageError, fmt.Errorf("put: %w", syscall.ENOSPC), attempt.TypeStorageFull, retryable},
		{attempt.StorageError, errors.New("503 slow down"), attempt.TypeStorageUnavailable, retryable},
		{attempt.DatabaseError, fmt.Errorf("find: %w", export.ErrNotFound), attempt.TypeInvalidExport, final},
		{attempt.DatabaseError, fmt.Errorf("lock: %w", sql.ErrNoRows), attempt.TypeInvalidExport, final},
		{attempt.DatabaseError, export.ErrConflict, attempt.TypeExportClosed, final},
		{attempt.DatabaseError, postgres("57P01"), attempt.TypeDatabaseUnavailable, retryable},
		{attempt.DatabaseError, postgres("25006"), attempt.TypeDatabaseUnavailable, retryable}, // read-only
		{attempt.DatabaseError, postgres("22021"), attempt.TypeDatabaseUnavailable, retryable},
		{attempt.DatabaseError, errors.New("broken pipe"), attempt.TypeDatabaseUnavailable, retryable},
	} {
		got := c.classify(t.Context(), c.err)
		var applicationErr *temporal.ApplicationError
		if !errors.As(got, &applicationErr) || applicationErr.Type() != c.want || applicationErr.NonRetryable() != c.final {
			t.Errorf("%v became %v, want the type %s (final: %v)", c.err, got, c.want, c.final)
		}
		if strings.Contains(got.Error(), "quoted") {
			t.Errorf("%v quotes what Postgres said", got)
		}
	}
}

// gRPC does not send a text that is not UTF-8, so Temporal would never learn of the error.
func TestATextThatTemporalCannotStoreIsMended(t *testing.T) {
	page := "403: <h1>Zugriff verweigert f\xfcr alle</h1>" // Latin-1, from a proxy
	if got := attempt.SafeMessage(errors.New(page)); got != "403: <h1>Zugriff verweigert f?r alle</h1>" {
		t.Errorf("the message is %q", got)
	}
	got := attempt.SafeMessage(errors.New("x" + strings.Repeat("\u20ac", 1<<20)))
	if len(got) > 4<<10 || !utf8.ValidString(got) {
		t.Errorf("the message of 3 MiB has %d bytes (valid: %v)", len(got), utf8.ValidString(got))
	}
}

func TestNilStaysNil(t *testing.T) {
	for _, classify := range []func(context.Context, error) error{sourceError, attempt.StorageError, attempt.DatabaseError} {
		if err := classify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// When the context has ended, every error is treated as a consequence of the cancellation.
func TestAnErrorAfterACancelIsTheCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, classify := range []func(context.Context, error) error{sourceError, attempt.StorageError, attempt.DatabaseError} {
		if err := classify(ctx, errors.New("broken pipe")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestAnAttemptThatTemporalDidNotCancelIsRetried(t *testing.T) {
	paused, cancel := context.WithCancelCause(t.Context())
	cancel(activity.ErrActivityPaused)
	for _, classify := range []func(context.Context, error) error{sourceError, attempt.StorageError, attempt.DatabaseError} {
		err := classify(paused, errors.New("broken pipe"))
		var applicationErr *temporal.ApplicationError
		if !errors.As(err, &applicationErr) || applicationErr.Type() != attempt.TypeInterrupted || applicationErr.NonRetryable() {
			t.Errorf("the error is %v", err)
		}
	}
}

// Temporal does not retry an activity after a cancellation. So the workflow may see a timeout or a retryable
// error instead of the cancellation. Only a final error shows that the export would have failed anyway.
func TestACancelledExportFailsAsCancelledUnlessItsErrorIsFinal(t *testing.T) {
	heartbeat := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil)
	for _, c := range []struct {
		err               error
		cancelled, before string // the codes with and without a cancellation
	}{
		{heartbeat, export.CodeCancelled, export.CodeTimedOut},
		{attempt.Retryable(attempt.TypeSourceUnavailable, errors.New("away")), export.CodeCancelled, export.CodeSourceUnavailable},
		{attempt.Retryable("panic", errors.New("nil map")), export.CodeCancelled, export.CodeInternal},
		{attempt.Retryable(attempt.TypeWorkerStopping, errors.New("stop")), export.CodeCancelled, export.CodeTimedOut},
		{attempt.Final(attempt.TypeSourceInvalid, errors.New("column")), export.CodeSourceInvalid, export.CodeSourceInvalid},
		{attempt.Final(attempt.TypeCountMismatch, errors.New("count")), export.CodeInternal, export.CodeInternal},
		{temporal.NewCanceledError(), export.CodeCancelled, export.CodeCancelled},
	} {
		if code := attempt.FailureCode(c.err, true); code != c.cancelled {
			t.Errorf("%v after a cancellation: %s, want %s", c.err, code, c.cancelled)
		}
		if code := attempt.FailureCode(c.err, false); code != c.before {
			t.Errorf("%v: %s, want %s", c.err, code, c.before)
		}
	}
}

func TestEveryFailureCodeHasAFailure(t *testing.T) {
	for kind, code := range attempt.FailureCodes {
		if _, ok := export.Failures[code]; !ok {
			t.Errorf("%s has the code %s, which export.Failures lacks", kind, code)
		}
	}
}
