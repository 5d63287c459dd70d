package erasure

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Count says how many rows of a table, or objects in the bucket, belong to a workspace.
type Count struct {
	What string // the name of the table in the schema memexport, or Objects
	N    int
}

// Audit is Count.What for the audit events.
const Audit = "audit"

// Objects is Count.What for the objects in the bucket.
const Objects = "objects"

// Count counts what the service holds about a workspace: the rows of every table of the schema memexport
// that has a workspace_id, and the objects of the exports that have rows or are in exportIDs.
func (e *Eraser) Count(ctx context.Context, workspaceID string, exportIDs []string) ([]Count, error) {
	// The catalog names the tables, so that the count covers tables of later migrations too.
	var tables []string
	err := e.DB.SelectContext(ctx, &tables, `SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'memexport'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'workspace_id' AND NOT a.attisdropped
		ORDER BY c.relname`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	var counts []Count
	for _, table := range tables {
		count := Count{What: table}
		if err := e.DB.GetContext(ctx, &count.N, `SELECT count(*) FROM memexport.`+table+` WHERE workspace_id = $1`, workspaceID); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		counts = append(counts, count)
	}
	objects := Count{What: Objects}
	add := func(exportID string) error {
		n, err := e.Archive.Count(ctx, exportID)
		if err != nil {
			return fmt.Errorf("count the objects of the export %s: %w", exportID, err)
		}
		objects.N += n
		return nil
	}
	for _, id := range exportIDs {
		if err := add(id); err != nil {
			return nil, err
		}
	}
	for after := uuid.Nil.String(); ; {
		exports, err := e.Exports.OfWorkspace(ctx, workspaceID, after, batch)
		if err != nil {
			return nil, err
		}
		for _, x := range exports {
			if err := add(x.ID); err != nil {
				return nil, err
			}
			after = x.ID
		}
		if len(exports) < batch {
			return append(counts, objects), nil
		}
	}
}
