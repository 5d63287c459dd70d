-- +goose Up
-- The schema itself exists already: it is created before the first migration, because goose keeps its
-- version table in it.

CREATE TABLE memexport.api_keys (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    name         text NOT NULL,
    display      text NOT NULL, -- the first characters of the secret, to tell keys apart
    hash         bytea NOT NULL UNIQUE, -- SHA-256 of the secret, which is not stored
    permissions  text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_by_workspace ON memexport.api_keys (workspace_id, created_at);

CREATE TABLE memexport.exports (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    format          text NOT NULL,
    filter          jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'PENDING'
                    CHECK (status IN ('PENDING', 'PROCESSING', 'READY', 'FAILED', 'EXPIRED')),
    idempotency_key text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    completed_at    timestamptz, -- when it became READY or FAILED
    expires_at      timestamptz,
    purged_at       timestamptz, -- when the last of its objects was deleted
    deleted_at      timestamptz, -- when its owner deleted it; the API then answers 404
    estimate        bigint, -- memories, as estimated by the plan
    memory_count    bigint,
    size_bytes      bigint,
    sha256          text, -- of the whole file, in hexadecimal
    progress        smallint NOT NULL DEFAULT 0,
    error_code      text,
    error_message   text,
    error_retryable boolean
);
-- The list, newest first.
CREATE INDEX exports_by_workspace ON memexport.exports (workspace_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX exports_by_idempotency_key ON memexport.exports (workspace_id, idempotency_key) WHERE deleted_at IS NULL;
-- For the reconciler, which looks at exports that are not finished.
CREATE INDEX exports_open ON memexport.exports (updated_at) WHERE purged_at IS NULL;

CREATE TABLE memexport.export_ranges (
    export_id        uuid NOT NULL REFERENCES memexport.exports ON DELETE CASCADE,
    range            integer NOT NULL,
    first_created_at bigint NOT NULL, -- microseconds since 2000-01-01, as Postgres stores a timestamptz
    first_id         uuid NOT NULL,
    last_created_at  bigint NOT NULL,
    last_id          uuid NOT NULL,
    estimate         bigint NOT NULL,
    PRIMARY KEY (export_id, range)
);

CREATE TABLE memexport.export_parts (
    export_id       uuid NOT NULL REFERENCES memexport.exports ON DELETE CASCADE,
    range           integer NOT NULL,
    part            integer NOT NULL,
    object          text NOT NULL, -- key in the bucket
    size            bigint NOT NULL, -- uncompressed, in bytes
    checksum        bigint NOT NULL, -- XXH64 of the object's bytes
    continues       boolean NOT NULL, -- starts in the middle of a memory
    memories        bigint NOT NULL, -- number of memories that end in this part
    last_created_at bigint NOT NULL,
    last_id         uuid NOT NULL,
    -- The fence: if two attempts record the same part, one of them fails.
    PRIMARY KEY (export_id, range, part)
);

-- +goose Down
DROP TABLE memexport.export_parts, memexport.export_ranges, memexport.exports, memexport.api_keys;
