-- +goose Up
-- What the footer of the file says about the part; NULL if the format has no footer.
ALTER TABLE memexport.export_parts ADD footer_entry bytea;

-- +goose Down
ALTER TABLE memexport.export_parts DROP footer_entry;
