// Package activities is what the workflow of an export does to the world: it reads memories, writes
// parts, and moves the export's row along. Every activity finds what an earlier attempt has already
// done and goes on from there, so that it may run twice, at once, or again after a reset.
package activities

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// Activities holds what the activities work with. All of its fields are needed.
type Activities struct {
	Exports *export.Store
	Source  *memory.Source
	Archive *archive.Archive
	Client  client.Client // to ask what has become of a workflow
	Starter Starter

	Retention time.Duration // how long a READY export can be downloaded
	Grace     time.Duration // how long its objects stay after that, for downloads that are under way
	Parallel  int           // ranges of one export that are written at the same time
}

// Starter starts and cancels the workflows of exports; see workflows.Starter.
type Starter interface {
	Start(ctx context.Context, e export.Export) error
	Cancel(ctx context.Context, exportID string) error
}

// heartbeatEvery is a fraction of the heartbeat timeout that the workflow sets.
const heartbeatEvery = 5 * time.Second

// Types of application errors, as the workflow and the Temporal UI see them.
const (
	TypeInvalidExport       = "InvalidExport"       // final: there is no such export
	TypeExportClosed        = "ExportClosed"        // final: it is no longer in the state that this needs
	TypeOvertaken           = "Overtaken"           // retried: another attempt is writing the same range
	TypeSourceInvalid       = "SourceInvalid"       // final: the memories table is not what it has to be
	TypeSourceUnavailable   = "SourceUnavailable"   // retried
	TypeStorageDenied       = "StorageDenied"       // final: the store refuses
	TypeStorageUnavailable  = "StorageUnavailable"  // retried
	TypeStorageCorrupt      = "StorageCorrupt"      // final: a stored part is not what was written
	TypeDatabaseUnavailable = "DatabaseUnavailable" // retried: this service's own tables
	TypeCountMismatch       = "CountMismatch"       // final: the ranges and the recorded parts disagree
)

// FailureCodes say which code an export fails with, by the type of the error that it failed for.
var FailureCodes = map[string]string{
	TypeSourceInvalid:       export.CodeSourceInvalid,
	TypeSourceUnavailable:   export.CodeSourceUnavailable,
	TypeStorageDenied:       export.CodeStorageDenied,
	TypeStorageUnavailable:  export.CodeStorageUnavailable,
	TypeStorageCorrupt:      export.CodeStorageUnavailable,
	TypeDatabaseUnavailable: export.CodeTimedOut,
	TypeOvertaken:           export.CodeTimedOut,
}

// final and retryable make the errors that activities return. What Postgres says may quote a
// memory, so that of its errors only the code goes into the history.
func final(kind string, err error) error {
	return temporal.NewNonRetryableApplicationError(safe(err), kind, nil)
}

func retryable(kind string, err error) error {
	return temporal.NewApplicationError(safe(err), kind)
}

func safe(err error) string {
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		return fmt.Sprintf("Postgres: %s (SQLSTATE %s)", pqErr.Code.Name(), pqErr.Code)
	}
	return err.Error()
}

// sourceError classifies an error of reading memories.
func sourceError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		switch pqErr.Code.Class() {
		case "22", "42": // data exception; syntax error or access rule violation
			return final(TypeSourceInvalid, err)
		}
	}
	if errors.Is(err, memory.ErrUnreadable) {
		return final(TypeSourceInvalid, err)
	}
	return retryable(TypeSourceUnavailable, err)
}

// storageError classifies an error of the bucket.
func storageError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case archive.Denied(err):
		return final(TypeStorageDenied, err)
	case errors.Is(err, archive.ErrCorrupt):
		return final(TypeStorageCorrupt, err)
	}
	return retryable(TypeStorageUnavailable, err)
}

// storeError classifies an error of the service's own tables.
func storeError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, export.ErrNotFound), errors.Is(err, sql.ErrNoRows):
		return final(TypeInvalidExport, err)
	case errors.Is(err, export.ErrConflict):
		return final(TypeExportClosed, err)
	}
	return retryable(TypeDatabaseUnavailable, err)
}

// alive heartbeats until the returned function is called, whatever the activity is waiting for:
// the heartbeat says that the worker lives, timeouts of their own bound the waiting.
func alive(ctx context.Context) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(heartbeatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// errWorkerStopping is what ends an activity when its worker shuts down. It is not the activity's
// fault, and another worker is to go on at once.
var errWorkerStopping = temporal.NewApplicationErrorWithOptions("the worker is shutting down", "WorkerStopping",
	temporal.ApplicationErrorOptions{NextRetryDelay: 100 * time.Millisecond, Category: temporal.ApplicationErrorCategoryBenign})

// untilWorkerStops returns a context that ends with ctx or when the worker shuts down; its cause
// tells which. An activity that has ended for the latter returns errWorkerStopping.
func untilWorkerStops(ctx context.Context) (context.Context, context.CancelFunc) {
	working, cancel := context.WithCancelCause(ctx)
	stopping := activity.GetWorkerStopChannel(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errWorkerStopping)
		case <-working.Done():
		}
	}()
	return working, func() { cancel(nil) }
}

// interrupted tells, of a context of untilWorkerStops, why it ended; nil if it has not.
func interrupted(working context.Context) error {
	if working.Err() == nil {
		return nil
	}
	return context.Cause(working)
}
