-- +goose Up
-- The key of the object that holds the whole file, if the parts were joined into one. Downloads can
-- be redirected to it.
ALTER TABLE memexport.exports ADD file_object text;

-- +goose Down
ALTER TABLE memexport.exports DROP file_object;
