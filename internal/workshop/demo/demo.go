// Package demo creates a table of memories with realistic content, for `memexport dev`, `memexport
// demo`, tests and benchmarks. In production the table belongs to the memory service.
package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// WorkspaceID is the workspace of the demo's memories.
const WorkspaceID = "de300000-0000-4000-8000-000000000001"

// comment is a comment on the demo's table. Without this comment, the demo does not write to a
// table.
const comment = "made by memexport demo"

// ErrForeignTable means that a table memories exists that the demo did not create.
var ErrForeignTable = errors.New("the table memories exists and was not made by the demo: it was not changed")

// CreateTable creates the table public.memories, which README describes, unless an earlier call
// created it. The SQL names the schema public, because the search path of a user named memexport
// begins with the schema memexport.
func CreateTable(ctx context.Context, db *sqlx.DB) error {
	if exists, err := isMade(ctx, db); exists || err != nil {
		return err
	}
	// The statements of one Exec run in one transaction, so either all of this is created or
	// nothing.
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
		-- Every export uses this index. memexport refuses to start without it.
		CREATE INDEX memories_keyset ON public.memories (workspace_id, created_at, id);
		-- Exports of one user use this index if there are many users.
		CREATE INDEX memories_by_user ON public.memories (workspace_id, user_id, created_at, id);
		COMMENT ON TABLE public.memories IS '`+comment+`'`)
	if err != nil {
		return fmt.Errorf("create the table memories: %w", err)
	}
	return nil
}

// isMade reports whether the demo has created the table memories. If the table exists but the demo
// did not create it, the error is ErrForeignTable.
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

// Fill adds memories to the table that CreateTable created until the workspace has n memories. It
// returns how many it added. The i-th memory of a workspace always has the same content.
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
	// Without fresh statistics, Postgres could choose bad plans for the first queries.
	_, err = db.ExecContext(ctx, `ANALYZE public.memories`)
	return n - have, err
}
