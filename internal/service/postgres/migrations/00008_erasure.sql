-- +goose Up
-- For the sweep, which deletes the rows of exports some time after they were purged.
CREATE INDEX exports_purged ON memexport.exports (purged_at) WHERE purged_at IS NOT NULL;
-- For the sweep, which erases the filters of exports that a worker of an earlier version purged. The
-- index is nearly empty: a purge erases the filter.
CREATE INDEX exports_not_erased ON memexport.exports (id) WHERE purged_at IS NOT NULL AND filter <> '{}';

-- +goose Down
DROP INDEX memexport.exports_not_erased, memexport.exports_purged;
