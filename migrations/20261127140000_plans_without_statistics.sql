-- A partition serves 64 jobs, and what ANALYZE saw of its first ones says nothing of the next. With statistics of job_seq the
-- planner took a job that came after the last ANALYZE to have one row, and hand-outs read all of its 300,000 tasks for 16 of them
-- (16 s). Without any it assumes 200 jobs in a partition, which is wrong by little and never turns a plan round.
CREATE OR REPLACE FUNCTION ensure_task_partition(seq bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    low  bigint := seq / 64 * 64;
    part text := 'tasks_' || low;
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tasks partition', low));
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) '
        'WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)', part);
    EXECUTE format('ALTER TABLE %I ALTER COLUMN job_seq SET STATISTICS 0', part);
    EXECUTE format('ALTER TABLE tasks ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, low, low + 64);
END $$;

-- Statistics that are there cannot be taken away. The first partition of a new installation has some and no tasks: it is made anew.
-- Others are analysed once more, so that they know all the jobs they have.
DO $$
DECLARE
    part regclass;
    used boolean;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'tasks'::regclass LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part) INTO used;
        IF used OR part <> 'tasks_0'::regclass THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN job_seq SET STATISTICS -1', part);
            EXECUTE format('ANALYZE %s', part);
            EXECUTE format('ALTER TABLE %s ALTER COLUMN job_seq SET STATISTICS 0', part);
        ELSE
            EXECUTE format('DROP TABLE %s', part);
            PERFORM ensure_task_partition(0);
        END IF;
    END LOOP;
END $$;
