-- Requests that may be sent again without being done again, and changes that are refused where somebody else changed the same before.
-- Expands only: a coordinator of the version before neither keeps answers nor counts changes of limits.

CREATE TABLE idempotent_requests (
    principal      text NOT NULL,
    key            text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    begun_at       timestamptz NOT NULL DEFAULT now(),
    status         smallint,
    media_type     text,
    body           bytea,
    PRIMARY KEY (principal, key),
    CHECK ((status IS NULL) = (body IS NULL))
);
COMMENT ON TABLE idempotent_requests IS 'answers to requests that came with an Idempotency-Key, for a day; submits of jobs have keys of their own, for ever';
COMMENT ON COLUMN idempotent_requests.principal IS 'who asked, as in the audit log: a key of one asker is none of another''s';
COMMENT ON COLUMN idempotent_requests.request_sha256 IS 'SHA-256 of method, address, project and body';
COMMENT ON COLUMN idempotent_requests.status IS 'null while the request is in work';
CREATE INDEX idempotent_requests_begun ON idempotent_requests (begun_at);

ALTER TABLE jobs ADD COLUMN limits_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN jobs.limits_version IS 'counts changes of the limits and the priority: the ETag of both';
