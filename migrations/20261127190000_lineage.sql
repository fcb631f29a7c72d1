-- What an OpenLineage endpoint has been told of each job. Expands only: a coordinator of the version before tells nobody, and what
-- it leaves is told later.

ALTER TABLE jobs
    ADD COLUMN lineage_started     boolean NOT NULL DEFAULT false,
    ADD COLUMN lineage_finished_at timestamptz;
COMMENT ON COLUMN jobs.lineage_started IS 'the endpoint, where one is set, has been told that the job began';
COMMENT ON COLUMN jobs.lineage_finished_at IS
    'the end it has been told of: a job that is retried ends again, and that is told again';
CREATE INDEX jobs_lineage_start ON jobs (seq) WHERE NOT lineage_started;
CREATE INDEX jobs_lineage_end ON jobs (seq) WHERE finished_at IS NOT NULL AND finished_at IS DISTINCT FROM lineage_finished_at;
