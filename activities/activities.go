// Package activities holds the activities of the workflow Export: they read memories, write parts, and
// change the status of the export. A part is an object in the bucket that holds a piece of the file. Each
// activity looks for what an earlier attempt has done and continues from there. It is therefore safe to
// run an activity twice, at the same time as another attempt, or again after a reset of the workflow.
package activities

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/partwriter"
)

// Activities holds what the activities need. Every field without a default is required.
type Activities struct {
	Exports *export.Store
	Source  *memory.Source
	Archive *archive.Archive

	Retention time.Duration // how long a READY export can be downloaded
	Grace     time.Duration // how long the objects of an EXPIRED export stay, for downloads that have begun
	Parallel  int           // how many ranges of one export are written at the same time
	PartSize  int           // in bytes; defaults to partwriter.DefaultPartSize

	// Ended is called when an export of a workspace has become READY or FAILED, so that the next one in
	// the workspace's queue can start. Ended must not wait for long. Defaults to a function that does
	// nothing.
	Ended func(ctx context.Context, workspaceID string)
}

// ExportRef names the export that an activity works on.
type ExportRef struct {
	ExportID string `json:"export_id"`
}

// ended calls a.Ended with the id of a workspace, if a.Ended is set.
func (a *Activities) ended(ctx context.Context, workspaceID string) {
	if a.Ended != nil {
		a.Ended(ctx, workspaceID)
	}
}

// load reads an export, looks up its format, and names the export in the span of the activity. An activity
// can return the error to Temporal as it is.
func (a *Activities) load(ctx context.Context, id string) (export.Export, *format.Format, error) {
	e, err := a.Exports.Find(ctx, id)
	if err != nil {
		return e, nil, attempt.DatabaseError(ctx, err)
	}
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("memexport.export_id", e.ID), attribute.String("memexport.workspace_id", e.WorkspaceID))
	f, ok := format.Lookup(e.Format)
	if !ok {
		return e, nil, attempt.Final(attempt.TypeInvalidExport, fmt.Errorf("unknown format %q", e.Format))
	}
	return e, f, nil
}

func (a *Activities) writer() *partwriter.Writer {
	return &partwriter.Writer{Source: a.Source, Exports: a.Exports, Archive: a.Archive, PartSize: a.PartSize}
}
