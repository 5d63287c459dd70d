GRANT USAGE ON SCHEMA memexport TO memexport_api, memexport_worker;
GRANT SELECT ON memexport.schema_version TO memexport_api, memexport_worker;

-- The API creates and hides exports, and reads parts. It only appends to the audit log.
GRANT SELECT, UPDATE (last_used_at) ON memexport.api_keys TO memexport_api;
GRANT SELECT, INSERT, UPDATE (deleted_at, updated_at) ON memexport.exports TO memexport_api;
GRANT SELECT ON memexport.export_parts TO memexport_api;
GRANT INSERT ON memexport.audit TO memexport_api;

-- The worker runs exports and deletes what is old. It sees no key.
GRANT SELECT, UPDATE, DELETE ON memexport.exports TO memexport_worker;
GRANT SELECT, INSERT, DELETE ON memexport.export_ranges, memexport.export_parts TO memexport_worker;
GRANT SELECT, DELETE ON memexport.audit TO memexport_worker;
