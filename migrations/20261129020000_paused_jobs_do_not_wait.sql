-- What a paused job has left is no work that workers are missing for: whoever scales by the backlog, or is woken by it, must not count it.
-- All of it is paused, as a task is that a user paused by itself; what workers have of it, they finish.
CREATE OR REPLACE VIEW dash.queue_depth AS
    SELECT p.name AS project, q.stage::text AS stage, sum(q.ready)::bigint AS ready, sum(q.blocked)::bigint AS blocked,
           sum(q.retrying)::bigint AS retrying, sum(q.paused)::bigint AS paused, sum(q.running)::bigint AS running,
           sum((q.ready + q.blocked + q.retrying + q.running) * q.estimate_ms) / 1000 AS backlog_gpu_seconds
    FROM jobs j JOIN projects p ON p.id = j.project
    CROSS JOIN LATERAL (
        SELECT c.stage, c.ready, c.blocked, c.retrying, c.paused, c.running,
               -- what is learnt for its kinds of work, or else what its own tasks took
               COALESCE(known.ms, c.own_ms) AS estimate_ms
        FROM (SELECT stage,
                     COALESCE(sum(n) FILTER (WHERE state = 'ready' AND j.state <> 'paused'), 0) AS ready,
                     COALESCE(sum(n) FILTER (WHERE state = 'blocked' AND j.state <> 'paused'), 0) AS blocked,
                     COALESCE(sum(n) FILTER (WHERE state = 'retry_wait' AND j.state <> 'paused'), 0) AS retrying,
                     COALESCE(sum(n) FILTER (WHERE state = 'paused'
                                                OR j.state = 'paused' AND state IN ('ready', 'blocked', 'retry_wait')), 0) AS paused,
                     COALESCE(sum(n) FILTER (WHERE state IN ('dispatched', 'running')), 0) AS running,
                     sum(gpu_ms) FILTER (WHERE state = 'succeeded') / NULLIF(sum(n) FILTER (WHERE state = 'succeeded'), 0) AS own_ms
              FROM (SELECT stage, state, n, gpu_ms FROM job_rollups WHERE job_seq = j.seq
                    UNION ALL
                    SELECT stage, state, n, gpu_ms FROM count_deltas WHERE job_seq = j.seq) AS both_parts
              GROUP BY stage) AS c
        LEFT JOIN LATERAL (
            SELECT avg(k.units * s.ms / s.units) AS ms
            FROM (SELECT 'invert'::task_stage AS stage, j.invert_cost AS cost, j.invert_units AS units
                  UNION ALL
                  SELECT 'edit', e.edit_cost, e.edit_units FROM job_edits e WHERE e.job_seq = j.seq
                  UNION ALL
                  SELECT 'train', e.train_cost, e.train_units FROM job_edits e WHERE e.job_seq = j.seq) AS k
            JOIN stage_costs s ON s.pack = j.pack_digest AND s.stage = k.stage AND s.cost = k.cost AND s.units > 0
            WHERE k.stage = c.stage) AS known ON true
        WHERE c.ready + c.blocked + c.retrying + c.paused + c.running > 0) AS q
    WHERE j.state IN ('accepting', 'active', 'paused')
    GROUP BY p.name, q.stage;
COMMENT ON COLUMN dash.queue_depth.ready IS 'tasks that can be handed out';
COMMENT ON COLUMN dash.queue_depth.paused IS 'tasks that a user paused one by one, and what waits of paused jobs';
