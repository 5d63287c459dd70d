-- +goose Up
-- The position in the write-ahead log of the memories database at which the range was planned. 0 if it is not known.
ALTER TABLE memexport.export_ranges ADD position bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE memexport.export_ranges DROP position;
