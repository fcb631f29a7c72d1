-- What the bucket must hold besides results so that a lost database can be rebuilt from it: see coordinator/src/archive.rs.

ALTER TABLE packs ADD COLUMN archived boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN packs.archived IS 'the archive in the bucket has it';

ALTER TABLE datasets
    ADD COLUMN archived bigint NOT NULL DEFAULT 0,
    ADD COLUMN archive_changes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN datasets.archived IS 'the archive in the bucket has the sources before this ordinal, as they are now';
COMMENT ON COLUMN datasets.archive_changes IS
    'one more whenever sources that may be archived change, so that an archiver that read them before does not count';

ALTER TABLE jobs
    ADD COLUMN archived boolean NOT NULL DEFAULT false,
    ADD COLUMN cancel_archived boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN jobs.archived IS 'the archive in the bucket has what was asked for; true before the first task is written';
COMMENT ON COLUMN jobs.cancel_archived IS 'the archive in the bucket knows that the job is cancelled';
CREATE INDEX jobs_unarchived ON jobs (seq) WHERE NOT archived;
CREATE INDEX jobs_cancels_unarchived ON jobs (seq) WHERE state = 'cancelled' AND NOT cancel_archived;

-- Triggers, and not part of the statements that add masks and landmarks: an older coordinator's are archived too.
CREATE FUNCTION note_change_for_archive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE datasets d SET archived = LEAST(d.archived, a.first), archive_changes = d.archive_changes + 1
    FROM (SELECT dataset, min(ordinal) AS first FROM added GROUP BY dataset) AS a WHERE d.id = a.dataset;
    RETURN NULL;
END $$;
CREATE TRIGGER source_masks_archive AFTER INSERT ON source_masks
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_change_for_archive();
-- landmarks that come after their source are the only thing of a source that is ever written again
CREATE TRIGGER sources_archive AFTER UPDATE ON sources
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_change_for_archive();
