-- +goose Up
-- Of a part that is stored compressed; zero: the object is the bytes of the file.
ALTER TABLE memexport.export_parts
    ADD compressed_size bigint NOT NULL DEFAULT 0, -- bytes of the object
    ADD crc32 bigint NOT NULL DEFAULT 0; -- of the bytes of the file

-- +goose Down
ALTER TABLE memexport.export_parts DROP compressed_size, DROP crc32;
