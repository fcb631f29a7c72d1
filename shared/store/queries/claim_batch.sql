-- claim_batch
-- $1 job, $2 stage, $3 edit or -1, $4 most tasks, $5 batch, $6 estimated GPU milliseconds of a task, $7 class
WITH job AS (
    -- KEY SHARE: waits for a cancel under way, not for slices being written
    SELECT seq, dataset FROM jobs
    WHERE seq = $1 AND state IN ('accepting', 'active') AND (deadline IS NULL OR deadline > now()) FOR KEY SHARE),
picked AS (
    SELECT t.no, t.losses FROM tasks t
    -- a subquery, not a join: where the job is not open, no task is looked at
    WHERE t.job_seq = (SELECT seq FROM job) AND t.state = 'ready' AND t.stage = $2::task_stage AND t.edit_no = $3
        AND ($2 <> 'edit' OR EXISTS (
            SELECT FROM job_edits e WHERE e.job_seq = $1 AND e.edit_no = $3 AND e.gate IN ('none', 'open')))
    ORDER BY t.no LIMIT $4
    -- two dispatchers take different tasks instead of waiting for each other
    FOR UPDATE OF t SKIP LOCKED),
-- Whose worker was lost three times may be what kills it: that task goes out alone, so that it takes no batch-mates with it again.
suspects AS (
    SELECT p.no FROM picked p WHERE p.losses >= 3
        AND (SELECT count(*) FROM attempts a WHERE a.job_seq = $1 AND a.no = p.no AND a.outcome = 'lost') >= 3),
chosen AS (
    SELECT p.no FROM picked p
    WHERE CASE WHEN EXISTS (SELECT FROM suspects s WHERE s.no = (SELECT min(no) FROM picked))
        THEN p.no = (SELECT min(no) FROM picked) ELSE NOT EXISTS (SELECT FROM suspects s WHERE s.no = p.no) END),
moved AS (
    UPDATE tasks t SET state = 'dispatched', epoch = t.epoch + 1, batch = $5, held_since = now(), charged = $6, updated_at = now()
    FROM chosen p WHERE t.job_seq = $1 AND t.no = p.no
    RETURNING t.no, t.epoch, t.key, t.needs, t.ordinal, t.strength, t.seed, t.checkpoint),
deltas AS (
    INSERT INTO count_deltas (job_seq, stage, state, n, charge_ms)
    SELECT $1, $2::task_stage, 'ready'::task_state, -count(*), 0 FROM moved HAVING count(*) > 0
    UNION ALL
    SELECT $1, $2::task_stage, 'dispatched', count(*), count(*) * $6::float8 FROM moved HAVING count(*) > 0),
batch AS (
    INSERT INTO batches (id, job_seq, stage, edit_no, class, size)
    SELECT $5, $1, $2::task_stage, $3, $7, count(*) FROM moved HAVING count(*) > 0)
SELECT m.no, m.epoch, m.key, m.ordinal, m.strength, m.seed, m.checkpoint, s.sha256, s.uri,
       CASE WHEN $2 = 'invert' THEN s.landmarks END AS landmarks,
       (SELECT artifact FROM stage_artifacts a WHERE a.key = m.needs) AS latent
FROM moved m
-- probes, not joins: the planner cannot know how few rows there are
LEFT JOIN LATERAL (
    SELECT sha256, uri, landmarks FROM sources WHERE dataset = (SELECT dataset FROM job) AND ordinal = m.ordinal LIMIT 1) AS s ON true
ORDER BY m.no
