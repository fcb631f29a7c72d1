-- allowances
-- $1 the job, or NULL for every open job under a limit. What each limit leaves; NULL where there is none.
WITH limited AS (
    SELECT j.seq, j.id, j.project, j.max_batches, j.budget_ms, j.served_ms, j.tasks_per_minute,
           p.quota_ms_per_day, p.max_batches AS project_batches, p.tasks_per_minute AS project_rate
    FROM jobs j JOIN projects p ON p.id = j.project
    WHERE j.state IN ('accepting', 'active', 'paused') AND ($1::bigint IS NULL OR j.seq = $1)
        AND num_nonnulls(j.max_batches, j.budget_ms, j.tasks_per_minute,
                         p.quota_ms_per_day, p.max_batches, p.tasks_per_minute) > 0),
charges AS (
    SELECT d.job_seq, j.project, sum(d.charge_ms) AS ms FROM count_deltas d JOIN jobs j ON j.seq = d.job_seq
    WHERE d.charge_ms <> 0 GROUP BY d.job_seq, j.project),
held AS (
    SELECT b.job_seq, j.project, count(*) AS n
    FROM (SELECT DISTINCT batch FROM tasks WHERE state IN ('dispatched', 'running')) AS t
    JOIN batches b ON b.id = t.batch JOIN jobs j ON j.seq = b.job_seq
    WHERE EXISTS (SELECT FROM limited WHERE num_nonnulls(max_batches, project_batches) > 0)
    GROUP BY b.job_seq, j.project)
SELECT l.seq,
       l.max_batches - COALESCE((SELECT n FROM held h WHERE h.job_seq = l.seq), 0) AS batches,
       l.budget_ms - l.served_ms - COALESCE((SELECT ms FROM charges c WHERE c.job_seq = l.seq), 0) AS budget_ms,
       (SELECT LEAST(GREATEST(1, l.tasks_per_minute / 6),
                     b.tokens + l.tasks_per_minute / 60 * extract(epoch FROM clock_timestamp() - b.refilled_at)::float8)
        FROM (SELECT) AS one LEFT JOIN rate_buckets b ON b.owner = l.id WHERE l.tasks_per_minute IS NOT NULL) AS tokens,
       l.project_batches - (SELECT COALESCE(sum(n), 0) FROM held h WHERE h.project = l.project)::bigint AS project_batches,
       l.quota_ms_per_day
           - (SELECT COALESCE(sum(charge_ms), 0) FROM project_usage s
              WHERE s.project = l.project AND s.hour > now() - interval '24 hours')
           - (SELECT COALESCE(sum(ms), 0) FROM charges c WHERE c.project = l.project) AS quota_ms,
       (SELECT LEAST(GREATEST(1, l.project_rate / 6),
                     b.tokens + l.project_rate / 60 * extract(epoch FROM clock_timestamp() - b.refilled_at)::float8)
        FROM (SELECT) AS one LEFT JOIN rate_buckets b ON b.owner = l.project WHERE l.project_rate IS NOT NULL) AS project_tokens
FROM limited l
