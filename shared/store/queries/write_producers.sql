-- write_producers
-- $1 job, $2 number of the slice's first task
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT ON (key) key, stage, edit_no, ordinal, pos FROM slice WHERE stage <> 'edit' ORDER BY key, pos),
-- single flight: whoever inserts the key produces it. In order of keys, so that two jobs' slices wait for each other one way round.
claimed AS (
    INSERT INTO stage_artifacts (key, stage, state, producer_job, producer_no)
    SELECT key, stage, 'pending', $1, $2 + pos FROM wanted ORDER BY key
    ON CONFLICT (key) DO NOTHING RETURNING key),
adopted AS (
    UPDATE stage_artifacts a SET state = 'pending', producer_job = $1, producer_no = $2 + w.pos
    FROM wanted w WHERE a.key = w.key AND a.state = 'orphaned' RETURNING a.key),
ours AS (SELECT * FROM wanted WHERE key IN (SELECT key FROM claimed UNION ALL SELECT key FROM adopted)),
written AS (
    INSERT INTO tasks (job_seq, no, stage, state, edit_no, ordinal, key)
    SELECT $1, $2 + pos, stage, 'ready', edit_no, ordinal, key FROM ours ORDER BY pos RETURNING stage),
deltas AS (
    INSERT INTO count_deltas (job_seq, stage, state, n) SELECT $1, stage, 'ready', count(*) FROM written GROUP BY stage)
SELECT
    (SELECT count(*) FROM wanted),
    (SELECT count(*) FROM ours),
    -- those an earlier slice of this job produces: neither new nor saved
    (SELECT count(*) FROM wanted w JOIN stage_artifacts a ON a.key = w.key AND a.producer_job = $1 AND a.state <> 'orphaned'),
    -- what those that are there had cost, and how many they are
    (SELECT COALESCE(sum(a.gpu_ms), 0) FROM wanted w JOIN stage_artifacts a ON a.key = w.key
     WHERE a.state = 'done' AND a.producer_job IS DISTINCT FROM $1),
    (SELECT count(*) FROM wanted w JOIN stage_artifacts a ON a.key = w.key
     WHERE a.state = 'done' AND a.producer_job IS DISTINCT FROM $1)
