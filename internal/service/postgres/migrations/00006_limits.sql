-- +goose Up
ALTER TABLE memexport.exports
    -- When the export got one of its workspace's places to run; null while it waits for one. The
    -- default is for processes that are older than this migration: they start every export at once.
    ADD dispatched_at timestamptz DEFAULT now(),
    -- Bytes of its objects, set when it becomes READY or FAILED. Null for exports that ended before
    -- this migration: size_bytes then stands in.
    ADD stored_bytes bigint,
    -- When an attempt last found that the store has no room.
    ADD store_full_at timestamptz;
-- For the places and the queue of a workspace.
CREATE INDEX exports_unfinished ON memexport.exports (workspace_id, created_at, id) WHERE status IN ('PENDING', 'PROCESSING');
-- For the bytes that a workspace has stored, and all of them.
CREATE INDEX exports_stored ON memexport.exports (workspace_id) INCLUDE (stored_bytes, size_bytes) WHERE purged_at IS NULL;
-- For the exports that found the store full: there are hardly ever any.
CREATE INDEX exports_store_full ON memexport.exports (store_full_at) WHERE store_full_at IS NOT NULL;

-- +goose Down
DROP INDEX memexport.exports_store_full, memexport.exports_stored, memexport.exports_unfinished;
ALTER TABLE memexport.exports DROP store_full_at, DROP stored_bytes, DROP dispatched_at;
