-- Signed forms of what records name beside their outputs.

-- Reconstructions and latents are the same for every edit of a source, so they carry no record and no credential in the bucket; when one
-- leaves, it is signed, once, and what came of it is kept. A row that is lost is made again.
CREATE TABLE companions (
    artifact  digest NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('reconstruction', 'latent', 'source-latent')),
    signed    digest NOT NULL,
    record    digest NOT NULL,
    key_id    digest NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (artifact, kind)
);
COMMENT ON TABLE companions IS 'reconstructions and latents that have left with a Content Credential';
COMMENT ON COLUMN companions.artifact IS 'the file as records name it';
COMMENT ON COLUMN companions.signed IS 'object in the bucket: a picture with the credential inside, of another file the credential alone';
COMMENT ON COLUMN companions.record IS 'the record that the credential names; others may name the file too';
COMMENT ON COLUMN companions.key_id IS 'the key that signed';
