-- +goose Up
-- Both columns are null for the keys that exist already: they stay valid until they are revoked. A
-- process that runs the previous program ignores them, so an expired key is refused everywhere only
-- when all processes run this one.
ALTER TABLE memexport.api_keys
    ADD expires_at  timestamptz,
    ADD replaced_by uuid; -- the key that `keys rotate` created instead

-- +goose Down
ALTER TABLE memexport.api_keys DROP expires_at, DROP replaced_by;
