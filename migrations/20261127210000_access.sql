-- Who may do what: API keys, sessions of the dashboard, and whose project an entry of the audit log is about. Expands only: a
-- coordinator of the version before asks for no key and leaves the new columns empty.

CREATE TYPE api_scope AS ENUM ('read', 'submit', 'operate', 'admin');

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scope        api_scope NOT NULL,
    project      uuid REFERENCES projects (id),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    rotated_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
COMMENT ON COLUMN api_keys.id IS 'the second part of the key''s text; not secret';
COMMENT ON COLUMN api_keys.project IS 'the only project it is good for; null for all';
COMMENT ON COLUMN api_keys.last_used_at IS 'to the minute: written at most once in that time';

-- A key that is rotated has two secrets for a while. A table, so that a rotation that is repeated because its answer was lost takes
-- nothing away from the secret that is still in use.
CREATE TABLE api_key_secrets (
    api_key       uuid NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    valid_until   timestamptz,
    PRIMARY KEY (api_key, secret_sha256)
);
COMMENT ON COLUMN api_key_secrets.secret_sha256 IS 'SHA-256 of the 32 random bytes; the secret itself is nowhere';
COMMENT ON COLUMN api_key_secrets.valid_until IS 'end of the overlap, for a secret that was replaced';

CREATE TABLE dashboard_sessions (
    id_sha256  bytea PRIMARY KEY CHECK (octet_length(id_sha256) = 32),
    api_key    uuid NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE dashboard_sessions IS 'who is logged in to the dashboard; allows what the key allows now, and ends with it';
COMMENT ON COLUMN dashboard_sessions.id_sha256 IS 'SHA-256 of the 32 random bytes in the cookie';
CREATE INDEX dashboard_sessions_of_key ON dashboard_sessions (api_key);
CREATE INDEX dashboard_sessions_end ON dashboard_sessions (expires_at);

ALTER TABLE audit_log
    ADD COLUMN project uuid REFERENCES projects (id),
    ADD COLUMN said    text;
COMMENT ON COLUMN audit_log.project IS 'the project it was done in or to; null for what concerns the installation';
COMMENT ON COLUMN audit_log.said IS 'what the client called itself (cfx-actor): nobody checks it';
CREATE INDEX audit_log_of_project ON audit_log (project, id DESC);
