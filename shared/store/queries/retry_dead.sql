-- retry_dead
-- $1 job, $2 reason or NULL for all
WITH chosen AS (
    SELECT no, stage, reason, key FROM tasks
    WHERE job_seq = $1 AND state = 'dead' AND ($2::text IS NULL OR reason = $2)
    FOR UPDATE),
-- followers that died of a chosen producer come back with it: of its key, or of its edit's gate
followers AS (
    SELECT t.no, t.stage, t.reason FROM tasks t
    WHERE t.job_seq = $1 AND t.state = 'dead' AND t.reason = 'producer_dead' AND $2 <> 'producer_dead' AND (
        t.needs IN (SELECT key FROM chosen WHERE stage = 'invert')
        OR t.edit_no IN (
            SELECT e.edit_no FROM job_edits e JOIN chosen c ON c.stage = 'train' AND c.key = e.mapper_key WHERE e.job_seq = $1))
    FOR UPDATE),
revived AS (SELECT no, stage, reason FROM chosen UNION SELECT no, stage, reason FROM followers),
moved AS (
    -- a task whose producer died waits for that again; the others are ready (domain::task_state, Revive)
    UPDATE tasks t SET
        state = CASE WHEN r.reason = 'producer_dead' THEN 'blocked' ELSE 'ready' END::task_state,
        attempts = 0, losses = 0, reason = NULL, detail = NULL, updated_at = now()
    FROM revived r WHERE t.job_seq = $1 AND t.no = r.no
    RETURNING t.stage, t.state, t.edit_no, r.reason AS was_reason),
deltas AS (
    INSERT INTO count_deltas (job_seq, stage, state, reason, n)
    SELECT $1, stage, 'dead'::task_state, was_reason, -count(*) FROM moved GROUP BY stage, was_reason
    UNION ALL
    SELECT $1, stage, state, '', count(*) FROM moved GROUP BY stage, state)
-- and the edits whose gate must be able to open again
SELECT count(*), COALESCE(array_agg(DISTINCT edit_no) FILTER (WHERE stage = 'train' OR state = 'blocked'), '{}') FROM moved
