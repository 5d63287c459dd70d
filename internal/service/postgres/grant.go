package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Grant gives two roles the privileges that APIRole and WorkerRole have in Grants, and no others. Both roles must
// exist, and db must be connected as the owner of the schema memexport. Grant may be repeated. It does not
// touch the table of memories.
func Grant(ctx context.Context, db *sqlx.DB, api, worker string) error {
	names := strings.NewReplacer(APIRole, pq.QuoteIdentifier(api), WorkerRole, pq.QuoteIdentifier(worker))
	if _, err := db.ExecContext(ctx, names.Replace(Grants)); err != nil {
		return fmt.Errorf("grant privileges to the roles %q and %q: %w", api, worker, err)
	}
	return nil
}
