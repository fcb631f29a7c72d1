-- An edit may bring its mapper along (one that was trained elsewhere): its gate is open from the start, and no key or training
-- belongs to it.
ALTER TABLE job_edits DROP CONSTRAINT job_edits_check;
ALTER TABLE job_edits ADD CONSTRAINT job_edits_gate
    CHECK ((gate = 'none') = (mapper_key IS NULL AND mapper IS NULL));
COMMENT ON COLUMN job_edits.mapper IS 'the mapper''s artifact: trained by this job or another, or brought along';
