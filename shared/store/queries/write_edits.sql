-- write_edits
-- $1 job, $2 number of the slice's first task
WITH written AS (
    INSERT INTO tasks (job_seq, no, stage, state, edit_no, ordinal, strength, seed, key, needs)
    SELECT $1, $2 + s.pos, 'edit', CASE WHEN a.state = 'done' THEN 'ready' ELSE 'blocked' END::task_state,
           s.edit_no, s.ordinal, s.strength, s.seed, s.key, s.needs
    FROM slice s LEFT JOIN stage_artifacts a ON a.key = s.needs
    WHERE s.stage = 'edit' ORDER BY s.pos
    RETURNING state),
deltas AS (
    INSERT INTO count_deltas (job_seq, stage, state, n) SELECT $1, 'edit', state, count(*) FROM written GROUP BY state)
SELECT count(*) FROM written
