-- +goose Up
-- For parts that are stored compressed. Both columns are zero for the others.
ALTER TABLE memexport.export_parts
    ADD compressed_size bigint NOT NULL DEFAULT 0, -- of the object, in bytes
    ADD crc32 bigint NOT NULL DEFAULT 0; -- of the uncompressed bytes

-- +goose Down
ALTER TABLE memexport.export_parts DROP compressed_size, DROP crc32;
