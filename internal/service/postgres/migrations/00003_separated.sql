-- +goose Up
-- True if the part's own bytes begin with the separator. For parts that were written before this
-- migration, the separator is inserted when the file is read.
ALTER TABLE memexport.export_parts ADD separated boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE memexport.export_parts DROP separated;
