-- +goose Up
-- The part's own bytes begin with the separator. Of earlier parts the file has it between them.
ALTER TABLE memexport.export_parts ADD separated boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE memexport.export_parts DROP separated;
