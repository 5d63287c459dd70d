package postgres

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// grants holds the statements that Grant runs. docs/security.md shows them too. They name the roles
// memexport_api and memexport_worker.
//
//go:embed grants.sql
var grants string

// Grant gives the roles of the API and of the worker the privileges that they need in the schema
// memexport, and no others. Both roles must exist, and db must be connected as the owner of the schema.
// Grant may be repeated. It does not touch the table of memories.
func Grant(ctx context.Context, db *sqlx.DB, api, worker string) error {
	statements := strings.NewReplacer("memexport_api", pq.QuoteIdentifier(api), "memexport_worker", pq.QuoteIdentifier(worker)).Replace(grants)
	if _, err := db.ExecContext(ctx, statements); err != nil {
		return fmt.Errorf("grant privileges to the roles %q and %q: %w", api, worker, err)
	}
	return nil
}
