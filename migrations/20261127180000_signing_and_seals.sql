-- Keys that sign, jobs' seals, and who submitted a job.

-- Every key that ever signed for this installation, so that what it signed can be verified for as long as it is kept. Private keys are
-- here only for the installation's own authority, which is made where no certificate is configured: all coordinators share it, and who
-- can read this table can sign. A configured key never leaves its file.
CREATE TABLE signing_keys (
    key_id       bytea PRIMARY KEY CHECK (octet_length(key_id) = 32),
    origin       text NOT NULL CHECK (origin IN ('configured', 'own')),
    certificates text NOT NULL,
    anchor       text,
    private_key  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    retired_at   timestamptz,
    CHECK ((origin = 'own') = (private_key IS NOT NULL)),
    CHECK (origin = 'configured' OR anchor IS NOT NULL)
);
COMMENT ON COLUMN signing_keys.key_id IS 'SHA-256 of the public key''s SubjectPublicKeyInfo (DER)';
COMMENT ON COLUMN signing_keys.certificates IS 'PEM, the key''s own first';
COMMENT ON COLUMN signing_keys.anchor IS 'PEM of the root that vouches for it, for the installation''s own authority';
-- one key of its own at a time
CREATE UNIQUE INDEX signing_keys_own ON signing_keys ((true)) WHERE origin = 'own' AND retired_at IS NULL;

-- The authority behind the installation's own keys.
CREATE TABLE signing_authority (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    anchor      text NOT NULL,
    private_key text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE jobs ADD COLUMN submitted_by text;
COMMENT ON COLUMN jobs.submitted_by IS 'who submitted it; unknown for jobs of earlier versions';

-- What a job came to when it ended, sealed. A job that goes on (retried tasks) and ends again is sealed again.
CREATE TABLE job_seals (
    job_seq     bigint NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    finished_at timestamptz NOT NULL,
    key_id      bytea NOT NULL REFERENCES signing_keys (key_id),
    attestation bytea NOT NULL CHECK (octet_length(attestation) = 32),
    files       jsonb NOT NULL,
    results     bigint NOT NULL,
    failures    bigint NOT NULL,
    sealed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_seq, finished_at)
);
COMMENT ON COLUMN job_seals.finished_at IS 'the end that it seals, as in jobs.finished_at then';
COMMENT ON COLUMN job_seals.attestation IS 'SHA-256 of the DSSE envelope, an object in the bucket';
COMMENT ON COLUMN job_seals.files IS 'the sealed files: [{name, sha256, bytes}]';

ALTER TABLE jobs ADD COLUMN sealed_for timestamptz;
COMMENT ON COLUMN jobs.sealed_for IS 'the end that the latest seal is of';
CREATE INDEX jobs_unsealed ON jobs (finished_at) WHERE finished_at IS NOT NULL AND sealed_for IS DISTINCT FROM finished_at;
