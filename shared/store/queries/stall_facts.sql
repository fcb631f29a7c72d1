-- stall_facts
-- $1 job, $2 rows of the outbox that are counted at most
SELECT (SELECT count(*) FROM workers WHERE state = 'live' AND last_seen > now() - interval '45 seconds') AS workers,
       (SELECT count(*) FROM workers
        WHERE state = 'live' AND last_seen > now() - interval '45 seconds' AND waits_for = 'storage') AS waiting_for_storage,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE kind = 'work' LIMIT $2) AS o) AS unsent,
       (SELECT COALESCE(array_agg(slug ORDER BY edit_no), '{}') FROM job_edits WHERE job_seq = $1 AND gate = 'waiting') AS training,
       -- a bounded look: a million tasks in back-off need not be sorted to say roughly when it goes on
       (SELECT min(next_at) FROM (
            SELECT next_at FROM tasks WHERE job_seq = $1 AND state = 'retry_wait' LIMIT 1000) AS r) AS retry_at,
       EXISTS (SELECT FROM jobs WHERE seq = $1 AND deadline <= now()) AS expired,
       EXISTS (
            SELECT FROM (
                SELECT 'invert'::task_stage AS stage, (-1)::smallint AS edit_no
                UNION ALL SELECT 'train', edit_no FROM job_edits WHERE job_seq = $1 AND gate <> 'none'
                UNION ALL SELECT 'edit', edit_no FROM job_edits WHERE job_seq = $1 AND gate IN ('none', 'open')) AS lane
            CROSS JOIN LATERAL (
                SELECT FROM tasks t
                WHERE t.job_seq = $1 AND t.state = 'ready' AND t.stage = lane.stage AND t.edit_no = lane.edit_no
                ORDER BY t.no LIMIT 1) AS probe) AS claimable
