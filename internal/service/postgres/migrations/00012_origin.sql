-- +goose Up
ALTER TABLE memexport.exports
    -- Who created it: the id of an API key, or "token:" and a hash of a token's subject, as in the audit table.
    ADD created_by text,
    -- The trace in which it was created, as in the header traceparent. Null without a trace.
    ADD trace_parent text;

-- +goose Down
ALTER TABLE memexport.exports DROP trace_parent, DROP created_by;
