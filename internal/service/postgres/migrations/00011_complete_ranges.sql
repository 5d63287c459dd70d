-- +goose Up
-- The numbers of the ranges that are written completely. No part is added to such a range any more, not even
-- by an attempt that Temporal gave up long ago.
ALTER TABLE memexport.exports ADD complete_ranges integer[] NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE memexport.exports DROP complete_ranges;
