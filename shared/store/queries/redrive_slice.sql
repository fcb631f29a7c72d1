-- redrive_slice
-- $1 job, $2 reason or NULL for all, $3 most tasks, $4 whether followers of a dead producer or the others
WITH chosen AS (
    SELECT t.no, t.reason FROM tasks t
    WHERE t.job_seq = $1 AND t.state = 'dead' AND (
        CASE WHEN NOT $4 THEN t.reason <> 'producer_dead' AND ($2::text IS NULL OR t.reason = $2)
        ELSE t.reason = 'producer_dead' AND (
            $2 IS NULL OR $2 = 'producer_dead'
            -- asked for by another reason, those come back whose producers are alive: revived with it, or tried again before
            OR (EXISTS (SELECT FROM stage_artifacts a WHERE a.key = t.needs AND a.state IN ('pending', 'done'))
                AND EXISTS (SELECT FROM job_edits e WHERE e.job_seq = $1 AND e.edit_no = t.edit_no AND e.gate <> 'dead')))
        END)
    ORDER BY t.no LIMIT $3 FOR UPDATE),
moved AS (
    -- a task whose producer died waits for that again; the others are ready (domain::task_state, Revive)
    UPDATE tasks t SET
        state = CASE WHEN c.reason = 'producer_dead' THEN 'blocked' ELSE 'ready' END::task_state,
        attempts = 0, losses = 0, reason = NULL, detail = NULL, updated_at = now()
    FROM chosen c WHERE t.job_seq = $1 AND t.no = c.no
    RETURNING t.no, t.stage, t.state, t.edit_no, c.reason AS was_reason),
deltas AS (
    INSERT INTO count_deltas (job_seq, stage, state, reason, n)
    SELECT $1, stage, 'dead'::task_state, was_reason, -count(*) FROM moved GROUP BY stage, was_reason
    UNION ALL
    SELECT $1, stage, state, '', count(*) FROM moved GROUP BY stage, state)
-- and the edits whose gate must be able to open again
SELECT was_reason, count(*), array_agg(no),
       COALESCE(array_agg(DISTINCT edit_no) FILTER (WHERE stage = 'train' OR state = 'blocked'), '{}')
FROM moved GROUP BY was_reason
