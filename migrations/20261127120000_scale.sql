-- What a million tasks showed. Producers are looked up by their key, which is the primary key; entering each of them into an index
-- by job and number as well, in another order than they are written in, cost a quarter of their insert. A coordinator of the
-- version before works without it, only its cancels read more.
DROP INDEX stage_artifacts_pending;

-- Tasks of jobs that ended long ago are forgotten by whole partitions; the jobs, their counts, results and records stay.
ALTER TABLE jobs ADD COLUMN tasks_forgotten_at timestamptz;
COMMENT ON COLUMN jobs.tasks_forgotten_at IS 'when the partition with its tasks was dropped; its counts stay';
