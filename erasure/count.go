package erasure

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Count is the number of rows in a table, or of objects in the bucket, that belong to a workspace.
type Count struct {
	What string // the name of a table in the schema memexport, or the constant Objects
	N    int
}

// Audit is the value of Count.What for audit events.
const Audit = "audit"

// Objects is the value of Count.What for objects in the bucket.
const Objects = "objects"

// Count counts what the service stores about a workspace: the rows in every table of the schema memexport
// that has a column workspace_id, and the objects of exports. It counts the objects of all exports that
// still have rows, and of the exports in exportIDs.
func (e *Eraser) Count(ctx context.Context, workspaceID string, exportIDs []string) ([]Count, error) {
	// Get the table names from the Postgres catalog, so that tables of later migrations are counted too.
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
