-- backlog
-- One index probe per lane: which (stage, edit) of which open job has a ready task whose gate lets it through.
WITH lanes AS (
    SELECT j.seq, j.project, j.priority, j.created_at, j.served_ms, j.pack_digest, lane.*,
           num_nonnulls(j.max_batches, j.budget_ms, j.tasks_per_minute) > 0 AS limited
    FROM jobs j CROSS JOIN LATERAL (
        SELECT 'invert'::task_stage AS stage, (-1)::smallint AS edit_no, j.invert_cost AS cost, j.invert_units AS units
        UNION ALL
        SELECT 'train', e.edit_no, e.train_cost, e.train_units FROM job_edits e WHERE e.job_seq = j.seq AND e.gate <> 'none'
        UNION ALL
        SELECT 'edit', e.edit_no, e.edit_cost, e.edit_units
        FROM job_edits e WHERE e.job_seq = j.seq AND e.gate IN ('none', 'open')) AS lane
    -- ORDER BY and LIMIT keep this a probe: as EXISTS it may be planned as a join with all ready tasks
    CROSS JOIN LATERAL (
        SELECT FROM tasks t
        WHERE t.job_seq = j.seq AND t.state = 'ready' AND t.stage = lane.stage AND t.edit_no = lane.edit_no
        ORDER BY t.no LIMIT 1) AS probe
    WHERE j.state IN ('accepting', 'active') AND (j.deadline IS NULL OR j.deadline > now())),
unfolded AS (SELECT job_seq, sum(charge_ms) AS ms FROM count_deltas WHERE charge_ms <> 0 GROUP BY job_seq)
SELECT l.seq, l.project, p.backlogged, l.priority,
       -- waiting begins anew with every hand-out: a job that is served does not age
       extract(epoch FROM now() - GREATEST(l.created_at, last.at))::float8 AS waited_s,
       l.served_ms + COALESCE(u.ms, 0) AS job_ms, t.base_ms,
       l.stage::text, l.edit_no, l.pack_digest, l.cost, l.units,
       l.limited OR num_nonnulls(p.quota_ms_per_day, p.max_batches, p.tasks_per_minute) > 0 AS limited
FROM lanes l JOIN projects p ON p.id = l.project
LEFT JOIN unfolded u ON u.job_seq = l.seq
LEFT JOIN job_turns t ON t.job_seq = l.seq
CROSS JOIN LATERAL (SELECT max(b.created_at) AS at FROM batches b WHERE b.job_seq = l.seq) AS last
