package activities

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
		{sourceError, postgres("22012"), TypeSourceInvalid, true}, // division by zero
		{sourceError, postgres("22P02"), TypeSourceInvalid, true}, // invalid text
		{sourceError, postgres("42P01"), TypeSourceInvalid, true}, // no such table
		{sourceError, postgres("42501"), TypeSourceInvalid, true}, // no privilege
		{sourceError, fmt.Errorf("scan: %w", memory.ErrUnreadable), TypeSourceInvalid, true},
		{sourceError, postgres("40001"), TypeSourceUnavailable, false}, // serialization
		{sourceError, postgres("53300"), TypeSourceUnavailable, false}, // too many connections
		{sourceError, postgres("57P01"), TypeSourceUnavailable, false}, // shutdown
		{sourceError, postgres("57014"), TypeSourceUnavailable, false}, // cancelled by an operator
		{sourceError, postgres("08006"), TypeSourceUnavailable, false}, // connection failure
		{sourceError, errors.New("no route to host"), TypeSourceUnavailable, false},
		{storageError, fmt.Errorf("put: %w", fs.ErrPermission), TypeStorageDenied, true},
		{storageError, fmt.Errorf("read: %w", archive.ErrCorrupt), TypeStorageCorrupt, true},
		{storageError, errors.New("503 slow down"), TypeStorageUnavailable, false},
		{storeError, fmt.Errorf("find: %w", export.ErrNotFound), TypeInvalidExport, true},
		{storeError, fmt.Errorf("lock: %w", sql.ErrNoRows), TypeInvalidExport, true},
		{storeError, export.ErrConflict, TypeExportClosed, true},
		{storeError, postgres("57P01"), "DatabaseUnavailable", false},
		{storeError, postgres("22021"), "DatabaseUnavailable", false},
		{storeError, errors.New("broken pipe"), "DatabaseUnavailable", false},
	} {
		got := c.classify(t.Context(), c.err)
		var applicationErr *temporal.ApplicationError
		if !errors.As(got, &applicationErr) || applicationErr.Type() != c.kind || applicationErr.NonRetryable() != c.final {
			t.Errorf("%v became %v, not %s (final %v)", c.err, got, c.kind, c.final)
		}
		if strings.Contains(got.Error(), "quoted") {
			t.Errorf("%v quotes what Postgres said", got)
		}
	}
}

func TestNoErrorStaysNone(t *testing.T) {
	for _, classify := range []func(context.Context, error) error{sourceError, storageError, storeError} {
		if err := classify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// What an activity fails with after its context has ended is a consequence of that.
func TestAnErrorAfterACancelIsTheCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, classify := range []func(context.Context, error) error{sourceError, storageError, storeError} {
		if err := classify(ctx, errors.New("broken pipe")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestEveryCodeThatAnErrorLeadsToIsAFailure(t *testing.T) {
	for kind, code := range FailureCodes {
		if _, ok := export.Failures[code]; !ok {
			t.Errorf("%s leads to %s, which is no failure", kind, code)
		}
	}
}
