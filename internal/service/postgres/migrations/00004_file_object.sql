-- +goose Up
-- The key of the object that the file was composed to, if it was: clients may be sent there.
ALTER TABLE memexport.exports ADD file_object text;

-- +goose Down
ALTER TABLE memexport.exports DROP file_object;
