-- backlog
-- One index probe per lane: which (stage, edit) of which open job has a ready task whose gate lets it through.
WITH lanes AS (
    SELECT j.seq, j.project, j.priority, j.created_at, j.served_ms, lane.stage, lane.edit_no
    FROM jobs j CROSS JOIN LATERAL (
        SELECT 'invert'::task_stage AS stage, (-1)::smallint AS edit_no
        UNION ALL
        SELECT 'train', e.edit_no FROM job_edits e WHERE e.job_seq = j.seq AND e.gate <> 'none'
        UNION ALL
        SELECT 'edit', e.edit_no FROM job_edits e WHERE e.job_seq = j.seq AND e.gate IN ('none', 'open')) AS lane
    -- ORDER BY and LIMIT keep this a probe: as EXISTS it may be planned as a join with all ready tasks
    CROSS JOIN LATERAL (
        SELECT FROM tasks t
        WHERE t.job_seq = j.seq AND t.state = 'ready' AND t.stage = lane.stage AND t.edit_no = lane.edit_no
        ORDER BY t.no LIMIT 1) AS probe
    WHERE j.state IN ('accepting', 'active')),
unfolded AS (SELECT job_seq, sum(charge_ms) AS ms FROM count_deltas WHERE charge_ms <> 0 GROUP BY job_seq)
SELECT l.seq, l.project, p.backlogged, l.priority,
       extract(epoch FROM now() - l.created_at)::float8 AS waited_s,
       l.served_ms + COALESCE(u.ms, 0) AS job_ms,
       l.stage::text, l.edit_no,
       CASE l.stage
           WHEN 'edit' THEN (
               SELECT avg(r.gpu_ms) FROM (
                   SELECT gpu_ms FROM results
                   WHERE job_seq = l.seq AND edit_no = l.edit_no ORDER BY no DESC LIMIT 50) AS r)
           ELSE (
               SELECT sum(c.gpu_ms) / NULLIF(sum(c.n), 0) FROM job_rollups c
               WHERE c.job_seq = l.seq AND c.stage = l.stage AND c.state = 'succeeded')
       END AS estimate_ms
FROM lanes l JOIN projects p ON p.id = l.project LEFT JOIN unfolded u ON u.job_seq = l.seq
