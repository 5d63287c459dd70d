// Package demo makes a table of memories with realistic content, for `memexport dev`, `memexport demo`,
// tests and benchmarks. In production the table belongs to the memory service.
package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// WorkspaceID is the workspace that the demo's memories belong to.
const WorkspaceID = "de300000-0000-4000-8000-000000000001"

// comment marks the demo's table, so that the demo never writes to a real one.
const comment = "made by memexport demo"

// ErrForeignTable says that there is a table memories that the demo did not make.
var ErrForeignTable = errors.New("the table memories exists and was not made by the demo: it was not changed")

// CreateTable creates the table public.memories, as README describes it, unless the demo has created it
// before. It names the schema, because the search path of a user "memexport" begins with the schema of
// this service.
func CreateTable(ctx context.Context, db *sqlx.DB) error {
	if exists, err := isMade(ctx, db); exists || err != nil {
		return err
	}
	// One call is one transaction: either all of this is created or nothing.
	_, err := db.ExecContext(ctx, `
		CREATE TABLE public.memories (
			id               uuid PRIMARY KEY,
			memory           text NOT NULL,
			user_id          text,
			agent_id         text,
			session_id       text,
			priority         text NOT NULL CHECK (priority IN ('LOW', 'MEDIUM', 'HIGH')),
			status           text NOT NULL CHECK (status IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED')),
			categories       text[] NOT NULL DEFAULT '{}',
			metadata         jsonb,
			workspace_id     uuid NOT NULL,
			access_count     integer NOT NULL DEFAULT 0,
			last_accessed_at timestamptz,
			created_at       timestamptz NOT NULL DEFAULT now(),
			updated_at       timestamptz NOT NULL DEFAULT now()
		);
		-- Every export reads along this index; memexport refuses to start without it.
		CREATE INDEX memories_keyset ON public.memories (workspace_id, created_at, id);
		-- Exports of one user read along this index if there are many users.
		CREATE INDEX memories_by_user ON public.memories (workspace_id, user_id, created_at, id);
		COMMENT ON TABLE public.memories IS '`+comment+`'`)
	if err != nil {
		return fmt.Errorf("create the table memories: %w", err)
	}
	return nil
}

// isMade reports whether the demo has made the table memories. If something else made it, the error is
// ErrForeignTable.
func isMade(ctx context.Context, db *sqlx.DB) (bool, error) {
	var found string
	err := db.GetContext(ctx, &found, `SELECT coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class WHERE oid = to_regclass('public.memories')`)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the table memories: %w", err)
	case found != comment:
		return false, ErrForeignTable
	}
	return true, nil
}

// Fill adds memories to the table that CreateTable made until the workspace has n of them. It returns how
// many it added. The i-th memory of a workspace is always the same.
func Fill(ctx context.Context, db *sqlx.DB, workspaceID string, n int) (added int, err error) {
	if _, err := isMade(ctx, db); err != nil {
		return 0, err
	}
	var have int
	if err := db.GetContext(ctx, &have, `SELECT count(*) FROM public.memories WHERE workspace_id = $1`, workspaceID); err != nil {
		return 0, fmt.Errorf("count the demo memories: %w", err)
	}
	if have >= n {
		return 0, nil
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	copyIn, err := tx.PrepareContext(ctx, `COPY public.memories (id, memory, user_id, agent_id, session_id, priority,
		status, categories, metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at) FROM STDIN`)
	if err != nil {
		return 0, fmt.Errorf("add demo memories: %w", err)
	}
	for i := have; i < n; i++ {
		if _, err := copyIn.ExecContext(ctx, row(workspaceID, i)...); err != nil {
			return 0, fmt.Errorf("add demo memories: %w", err)
		}
	}
	if _, err := copyIn.ExecContext(ctx); err != nil {
		return 0, fmt.Errorf("add demo memories: %w", err)
	}
	if err := errors.Join(copyIn.Close(), tx.Commit()); err != nil {
		return 0, fmt.Errorf("add demo memories: %w", err)
	}
	// Without fresh statistics the first query plans would be guesses.
	_, err = db.ExecContext(ctx, `ANALYZE public.memories`)
	return n - have, err
}
