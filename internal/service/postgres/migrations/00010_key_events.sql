-- +goose Up
-- The role of the database connection, for what an operator did; null for what a request did.
ALTER TABLE memexport.audit ADD operator text;

-- Triggers record the life of keys, so that a key that somebody creates with SQL has an event too.
-- +goose StatementBegin
CREATE FUNCTION memexport.audit_key() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed memexport.api_keys;
BEGIN
    changed := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    INSERT INTO memexport.audit (action, workspace_id, key_id, address, request_id, operator)
    VALUES (TG_ARGV[0], changed.workspace_id, changed.id, coalesce(host(inet_client_addr()), ''), '', session_user);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_create AFTER INSERT ON memexport.api_keys
    FOR EACH ROW EXECUTE FUNCTION memexport.audit_key('key.create');
CREATE TRIGGER audit_rotate AFTER UPDATE OF replaced_by ON memexport.api_keys
    FOR EACH ROW WHEN (OLD.replaced_by IS DISTINCT FROM NEW.replaced_by) EXECUTE FUNCTION memexport.audit_key('key.rotate');
CREATE TRIGGER audit_revoke AFTER UPDATE OF revoked_at ON memexport.api_keys
    FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION memexport.audit_key('key.revoke');
CREATE TRIGGER audit_delete AFTER DELETE ON memexport.api_keys
    FOR EACH ROW EXECUTE FUNCTION memexport.audit_key('key.delete');

-- +goose Down
DROP TRIGGER audit_delete ON memexport.api_keys;
DROP TRIGGER audit_revoke ON memexport.api_keys;
DROP TRIGGER audit_rotate ON memexport.api_keys;
DROP TRIGGER audit_create ON memexport.api_keys;
DROP FUNCTION memexport.audit_key;
ALTER TABLE memexport.audit DROP operator;
