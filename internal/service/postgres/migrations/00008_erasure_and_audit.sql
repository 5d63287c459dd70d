-- +goose Up
-- For the sweep, which deletes the rows of exports some time after they were purged.
CREATE INDEX exports_purged ON memexport.exports (purged_at) WHERE purged_at IS NOT NULL;
-- For the sweep, which erases the filters of exports that a worker of an earlier version purged. The
-- index is nearly empty: a purge erases the filter.
CREATE INDEX exports_not_erased ON memexport.exports (id) WHERE purged_at IS NOT NULL AND filter <> '{}';

-- Who did what and when. It has no foreign keys: its rows outlive keys and exports.
CREATE TABLE memexport.audit (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    action       text NOT NULL,
    workspace_id uuid NOT NULL,
    key_id       text, -- the id of an API key, or "token:" and a hash of a token's subject; null if the caller had neither
    export_id    uuid,
    address      text NOT NULL, -- empty if it is not known
    request_id   text NOT NULL
);
CREATE INDEX audit_by_time ON memexport.audit (at);
CREATE INDEX audit_by_workspace ON memexport.audit (workspace_id, at);
CREATE INDEX audit_by_export ON memexport.audit (export_id) WHERE export_id IS NOT NULL;

-- Not even the owner of the table changes or deletes a row by accident. Retention and erasure set
-- memexport.audit_delete for their own transaction.
-- +goose StatementBegin
CREATE FUNCTION memexport.audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('memexport.audit_delete', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'memexport.audit is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON memexport.audit
    FOR EACH ROW EXECUTE FUNCTION memexport.audit_append_only();
CREATE TRIGGER audit_not_truncated BEFORE TRUNCATE ON memexport.audit
    FOR EACH STATEMENT EXECUTE FUNCTION memexport.audit_append_only();

-- +goose Down
DROP TABLE memexport.audit;
DROP FUNCTION memexport.audit_append_only;
DROP INDEX memexport.exports_not_erased, memexport.exports_purged;
