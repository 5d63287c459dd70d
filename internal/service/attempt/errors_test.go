package attempt_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

func TestErrorsAreClassified(t *testing.T) {
	postgres := func(code pqerror.Code) error {
		return fmt.Errorf("read: %w", &pq.Error{Code: code, Message: "quoted memory"})
	}
	for _, c := range []struct {
		classify func(context.Context, error) error
		err      error
		kind     string
		final    bool
	}{
		{attempt.SourceError, postgres("22012"), attempt.TypeSourceInvalid, true}, // division by zero
		{attempt.SourceError, postgres("22P02"), attempt.TypeSourceInvalid, true}, // invalid text
		{attempt.SourceError, postgres("42P01"), attempt.TypeSourceInvalid, true}, // no such table
		{attempt.SourceError, postgres("42501"), attempt.TypeSourceInvalid, true}, // no privilege
		{attempt.SourceError, fmt.Errorf("scan: %w", memory.ErrUnreadable), attempt.TypeSourceInvalid, true},
		{attempt.SourceError, postgres("40001"), attempt.TypeSourceUnavailable, false}, // serialization
		{attempt.SourceError, postgres("53300"), attempt.TypeSourceUnavailable, false}, // too many connections
		{attempt.SourceError, postgres("57P01"), attempt.TypeSourceUnavailable, false}, // shutdown
		{attempt.SourceError, postgres("57014"), attempt.TypeSourceUnavailable, false}, // cancelled by an operator
		{attempt.SourceError, postgres("08006"), attempt.TypeSourceUnavailable, false}, // connection failure
		{attempt.SourceError, errors.New("no route to host"), attempt.TypeSourceUnavailable, false},
		{attempt.StorageError, fmt.Errorf("put: %w", fs.ErrPermission), attempt.TypeStorageDenied, true},
		{attempt.StorageError, fmt.Errorf("read: %w", archive.ErrCorrupt), attempt.TypeStorageCorrupt, true},
		{attempt.StorageError, errors.New("503 slow down"), attempt.TypeStorageUnavailable, false},
		{attempt.DatabaseError, fmt.Errorf("find: %w", export.ErrNotFound), attempt.TypeInvalidExport, true},
		{attempt.DatabaseError, fmt.Errorf("lock: %w", sql.ErrNoRows), attempt.TypeInvalidExport, true},
		{attempt.DatabaseError, export.ErrConflict, attempt.TypeExportClosed, true},
		{attempt.DatabaseError, postgres("57P01"), attempt.TypeDatabaseUnavailable, false},
		{attempt.DatabaseError, postgres("22021"), attempt.TypeDatabaseUnavailable, false},
		{attempt.DatabaseError, errors.New("broken pipe"), attempt.TypeDatabaseUnavailable, false},
	} {
		got := c.classify(t.Context(), c.err)
		var applicationErr *temporal.ApplicationError
		if !errors.As(got, &applicationErr) || applicationErr.Type() != c.kind || applicationErr.NonRetryable() != c.final {
			t.Errorf("%v became %v, want the type %s (final: %v)", c.err, got, c.kind, c.final)
		}
		if strings.Contains(got.Error(), "quoted") {
			t.Errorf("%v quotes what Postgres said", got)
		}
	}
}

func TestNilStaysNil(t *testing.T) {
	for _, classify := range []func(context.Context, error) error{attempt.SourceError, attempt.StorageError, attempt.DatabaseError} {
		if err := classify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// After the context has ended, an error is a consequence of that.
func TestAnErrorAfterACancelIsTheCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, classify := range []func(context.Context, error) error{attempt.SourceError, attempt.StorageError, attempt.DatabaseError} {
		if err := classify(ctx, errors.New("broken pipe")); !errors.Is(err, context.Canceled) {
			t.Error(err)
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
