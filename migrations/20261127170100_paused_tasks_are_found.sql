-- A migration of its own: a value of a type can be used only after the transaction that added it. The index is empty, and making it
-- reads every partition once.
CREATE INDEX tasks_paused ON tasks (job_seq, no) WHERE state = 'paused';

CREATE OR REPLACE VIEW job_progress AS
    SELECT j.seq AS job_seq, j.id AS job_id, p.name AS project, j.spec ->> 'name' AS name, j.state, c.stage,
           sum(c.n)::bigint AS total,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'succeeded'), 0)::bigint AS done,
           COALESCE(sum(c.n) FILTER (WHERE c.state IN ('dispatched', 'running')), 0)::bigint AS running,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'ready'), 0)::bigint AS ready,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'blocked'), 0)::bigint AS blocked,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'retry_wait'), 0)::bigint AS retrying,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'dead'), 0)::bigint AS dead,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'cancelled'), 0)::bigint AS cancelled,
           sum(c.gpu_ms) / 1000 AS gpu_seconds,
           j.saved_ms / 1000 AS job_gpu_seconds_saved,
           60 * max(r.sum) / NULLIF(max(r.weight), 0) AS tasks_per_minute,
           COALESCE(sum(c.n) FILTER (WHERE c.state = 'paused'), 0)::bigint AS paused
    FROM jobs j JOIN projects p ON p.id = j.project
    JOIN job_counts c ON c.job_seq = j.seq
    LEFT JOIN job_rates r ON r.job_seq = j.seq AND r.stage = c.stage
    GROUP BY j.seq, p.name, c.stage;
